"""What every chapter uses: claims, their line, exercises, data, figures, training, meters, shapes, ranges, source."""
