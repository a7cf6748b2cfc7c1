"""Validation Dice where augmentation never ends, fades over the last fifth, or the last half."""

TAKES = "20 min"
