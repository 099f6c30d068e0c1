"""Figures for the promises of this project, each a command: ``python -m benchmarks.<name>``."""
