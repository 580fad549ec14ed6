"""What the chapters on vision share: windows, receptive fields, detection, promptable masks, augmentation, contrast."""
