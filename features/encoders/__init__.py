"""The encoders, one family a file."""
