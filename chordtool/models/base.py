"""What every model offers to the rest of the program, built in or plugged in."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from chordtool.models.card import ModelCard
from chordtool.types import Features, Logits, Samples


@runtime_checkable
class Model(Protocol):
    """A card and a forward pass.

    A model is made once and used for many recordings, from one thread at a time.
    """

    card: ModelCard

    def features(self, samples: Samples) -> Features:
        """Features of a mono recording at ``card.front_end.sample_rate``.

        Args:
            samples: float32 [n], n >= 0, finite.

        Returns:
            float32 [frames, ...]; frame k lies at ``card.front_end.frame_times(frames)[k]``.
        """
        ...

    def logits(self, features: Features) -> Logits:
        """Frame logits.

        Args:
            features: what :meth:`features` returned, any number of frames.

        Returns:
            float32 [frames, classes], finite, unnormalised log-probabilities.
        """
        ...
