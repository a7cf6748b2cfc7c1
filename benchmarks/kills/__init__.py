"""What 100 SIGKILLs at random moments of train and predict cost, and what they leave."""

TAKES = "35 min"
