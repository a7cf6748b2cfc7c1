"""A graph's nodes as layers: modules and calls without names, idioms joined, sizes as shapes."""
