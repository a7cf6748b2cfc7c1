"""What is tried out on a run's plan and prepared cases, with fresh weights, in some seconds."""
