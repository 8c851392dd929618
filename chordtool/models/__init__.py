"""Models: each a card and a forward pass from features to frame logits."""

from chordtool.models.base import Model
from chordtool.models.card import ModelCard
from chordtool.models.registry import load_model

__all__ = ["Model", "ModelCard", "load_model"]
