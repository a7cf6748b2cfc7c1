"""volunet.training."""
