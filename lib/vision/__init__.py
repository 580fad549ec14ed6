"""What the chapters on vision share: receptive fields, upsampling, windows, detection, promptable masks, augmentation, contrast."""
