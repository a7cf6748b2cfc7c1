"""Whether code that was moved computes the same: weights and label maps, bit by bit."""

TAKES = "5 min"
