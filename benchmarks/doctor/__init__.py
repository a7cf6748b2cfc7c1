"""Which of 24 planted faults the doctor names, and what it says of 8 healthy sets and runs."""

TAKES = "11 min"
