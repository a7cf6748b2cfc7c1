"""Training and validation Dice on 10 cases: no measure against overfitting, each alone, all."""

TAKES = "40 min"
