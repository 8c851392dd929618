"""A chord model without weights: chroma compared with templates of triads.

The oldest way to recognise chords from audio (Fujishima, ICMC 1999), and a whole plug-in.
"""

from __future__ import annotations

import numpy as np

from chordtool.constantq import log_cqt
from chordtool.decoding import Decoding
from chordtool.frontend import FrontEnd
from chordtool.models import ModelCard
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import MAJMIN

MAJOR = (0, 4, 7)
MINOR = (0, 3, 7)
SHARPNESS = 20.0
"""Nats between a chroma that is a template and one that has nothing in common with it."""
SILENCE = 1e-3
"""Mean magnitude of a frame, below which nothing is playing."""

CARD = ModelCard(
    name="template",
    architecture="chroma templates",
    front_end=FrontEnd(n_bins=72, bins_per_octave=12),
    vocabulary="majmin",
    segment_frames=None,
    decoding=Decoding(change_penalty=3.0),
    licence="MIT",
    source="Fujishima, Realtime Chord Recognition of Musical Sound, ICMC 1999",
    description="Chroma compared with templates of major and minor triads.",
)


def templates() -> np.ndarray:
    """Triads as unit vectors, float32 [24, 12], in the order of the vocabulary."""
    rows = np.zeros((24, 12), np.float32)
    for root in range(12):
        for offset, intervals in enumerate((MAJOR, MINOR)):
            rows[2 * root + offset, [(root + i) % 12 for i in intervals]] = 1 / np.sqrt(3)
    return rows


class TemplateModel:
    """Chroma against templates."""

    card = CARD

    def features(self, samples: Samples) -> Features:
        """Log constant-Q, float32 [frames, 72]; the lowest bin is C1."""
        return log_cqt(samples, self.card.front_end)

    def logits(self, features: Features) -> Logits:
        """Cosine similarity with each template, float32 [frames, 25]; the last class is N."""
        magnitude = np.exp(features)
        chroma = magnitude.reshape(len(features), 6, 12).sum(axis=1)
        norm = np.linalg.norm(chroma, axis=1, keepdims=True)
        logits = np.zeros((len(features), len(MAJMIN)), np.float32)
        logits[:, :24] = SHARPNESS * (chroma / np.maximum(norm, 1e-9)) @ templates().T
        logits[magnitude.mean(axis=1) < SILENCE, 24] = 2 * SHARPNESS
        return logits


def load() -> TemplateModel:
    """What the entry point names: a model that is ready to use."""
    return TemplateModel()
