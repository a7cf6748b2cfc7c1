"""What is wrong with the cases of a data set: each read once, and compared with the others."""
