"""Datasets, the two stages put together, and the command line: the only room that knows the other three."""
