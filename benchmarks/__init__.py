"""Measurements of the promises; run as modules, for example `python -m benchmarks.train`."""
