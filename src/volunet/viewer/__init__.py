"""volunet.viewer."""
