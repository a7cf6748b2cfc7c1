"""What `volunet inspect` says of FLOPs, receptive field and memory, against what is measured."""

TAKES = "5 min, 5 GB"
