"""What augmenting a patch costs, batchgeneratorsv2 beside TorchIO."""

TAKES = "1 min"
