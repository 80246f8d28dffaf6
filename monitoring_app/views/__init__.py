"""Pages of this stage, below /{shop}/."""
