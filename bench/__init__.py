"""Benchmarks: `python -m bench`. Nothing is imported here: a worker fixes its threads first."""
