"""volunet.cli."""
