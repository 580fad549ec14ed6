"""What the chapters on generative models share: laws known exactly, paths, solvers, flows, networks, metrics."""
