"""Synthetic posts whose text and image are in conflict, for train (Teng 2025, 4.1): `crisis data synthesize`."""
