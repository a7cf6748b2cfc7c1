"""What follows from a graph without running it: sizes it takes, receptive field, memory."""
