"""What repeats among layers: blocks, and the arguments that tell them apart."""
