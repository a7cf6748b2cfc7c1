"""Source and weights: names, classes, the forward pass."""
