"""What the chapters on generative models share: diffusion, networks, metrics."""
