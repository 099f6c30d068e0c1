"""Regions of photos: supplied in files, or found by a detector."""
