"""Frozen encoders: images and strings in, named arrays out. Nothing heavy is imported until an encoder is loaded."""

from features.card import Card, Encoder, FeatureError, Fingerprint, fingerprint
from features.registry import CARDS, card, load

__all__ = ["CARDS", "Card", "Encoder", "FeatureError", "Fingerprint", "card", "fingerprint", "load"]
