"""What the site, the contract and the authors' tools read of a chapter. Not part of the standalone notebooks."""
