"""What every chapter uses: claims, exercises, data, figures, training, meters, shapes, ranges, source."""
