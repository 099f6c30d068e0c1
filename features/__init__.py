"""Frozen encoders: images and strings in, named arrays out. Nothing heavy is imported until an encoder is loaded."""

from features.card import Card
from features.encoders.encoder import Encoder
from features.errors import FeatureError
from features.fingerprint import Fingerprint, fingerprint
from features.registry import CARDS, card, load

__all__ = ["CARDS", "Card", "Encoder", "FeatureError", "Fingerprint", "card", "fingerprint", "load"]
