"""The captioners, one family a file, and what they share."""
