"""volunet.inference."""
