"""Benchmarks: ratios to the same work written by hand in NumPy, measured in turn in one run."""
