"""volunet.datasets."""
