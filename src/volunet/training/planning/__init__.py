"""What follows from measurements before a fit: width, patch, batch and precision."""
