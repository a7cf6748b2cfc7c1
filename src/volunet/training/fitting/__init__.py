"""One network fitted to its cases, within a budget."""
