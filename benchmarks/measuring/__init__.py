"""What all benchmarks measure and report with."""
