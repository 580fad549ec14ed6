"""What the chapters on vision share: windows, receptive fields, upsampling, detection, augmentation, contrastive objectives."""
