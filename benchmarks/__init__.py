"""Benchmarks of volunet, a folder a subject: `python -m benchmarks` lists them."""
