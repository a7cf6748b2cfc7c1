"""That source and file compute the same, at sizes chosen for it, in a process of its own."""
