"""Pages of data, training and models."""
