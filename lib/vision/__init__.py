"""What the chapters on vision share: windows, receptive fields, detection, augmentation, contrastive objectives."""
