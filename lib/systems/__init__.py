"""What the chapters on training systems share: number formats, checkpointing, packing, processes."""
