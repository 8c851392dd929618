"""Several teachers as one: their posteriors averaged at the frames of the students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chordtool.audio.signals import Signals
from chordtool.corpus.recipe import Recipe, hash_of
from chordtool.decoding import log_probabilities
from chordtool.errors import AudioError, ModelUnavailableError
from chordtool.models import Model, load_model
from chordtool.models.posteriors import resample_posteriors

CONTEXT_SECONDS: Final = 20.0
"""What teachers hear on either side of a part of a long recording."""
FLOOR: Final = 1e-8
"""Least probability of a class in a geometric mean, so that what one teacher cannot say (X, for
some) is not forbidden to all."""


@dataclass(frozen=True)
class Opinion:
    """What the teachers say about a stretch of frames."""

    log_probabilities: NDArray[np.float32]
    """float32 [frames, 170], of the average."""
    agreeing: float
    """Frames on which two teachers name the same class, the mean over pairs; 0 with one."""


class Ensemble:
    """The teachers of a recipe, loaded once and used for many recordings.

    Raises:
        ModelUnavailableError: a teacher is not here, or is not the one of the recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._average = recipe.average
        self._weights = [teacher.weight for teacher in recipe.teachers]
        self._models: list[Model] = []
        for teacher in recipe.teachers:
            model = load_model(teacher.source)
            if hash_of(teacher.source, model) != teacher.sha256:
                raise ModelUnavailableError(
                    f"The teacher {teacher.name!r} is another one here than where the run began.",
                    hint="Give all machines the same weights and version of chordtool.",
                )
            self._models.append(model)

    @property
    def sample_rates(self) -> set[int]:
        """Rates in Hz at which the teachers listen."""
        return {model.card.front_end.sample_rate for model in self._models}

    def listen(self, signals: Signals, edges: NDArray[np.float64]) -> Opinion:
        """What the teachers say about some frames of a recording.

        Args:
            signals: the recording.
            edges: float64 [frames + 1], seconds. Where they leave out a part of the recording,
                the teachers hear :data:`CONTEXT_SECONDS` more on that side.

        Raises:
            AudioError: the recording is too short for a teacher.
        """
        posteriors = [self._posteriors(model, signals, edges) for model in self._models]
        labels = [p.argmax(axis=1) for p in posteriors]
        pairs = list(combinations(labels, 2))
        agreeing = sum(float((a == b).sum()) for a, b in pairs) / max(1, len(pairs))
        return Opinion(average(posteriors, self._weights, self._average), agreeing)

    @staticmethod
    def _posteriors(
        model: Model, signals: Signals, edges: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        front_end = model.card.front_end
        rate = front_end.sample_rate
        begin = max(0.0, edges[0] - CONTEXT_SECONDS)
        end = min(signals.seconds, edges[-1] + CONTEXT_SECONDS)
        # On the teacher's own grid of frames, so that it hears the same frames as in the whole.
        step = front_end.chunk_samples or front_end.hop_length
        start = int(begin * rate) // step * step
        stop = signals.length(rate) if end >= signals.seconds else round(end * rate)
        logits = model.logits(model.features(signals.read(rate, start, stop)))
        if len(logits) == 0:
            raise AudioError("The recording is too short for its teacher.")
        heard = front_end.frame_edges(len(logits), end - start / rate) + start / rate
        return resample_posteriors(np.exp(log_probabilities(logits)), heard, edges)


def average(
    posteriors: Sequence[NDArray[np.float32]], weights: Sequence[float], kind: str
) -> NDArray[np.float32]:
    """Weighted mean of distributions.

    Args:
        posteriors: float32 [frames, classes] each, rows sum to one.
        weights: one each, summing to one.
        kind: ``"geometric"``, the mean of log-probabilities, or ``"arithmetic"``.

    Returns:
        Log-probabilities, float32 [frames, classes].
    """
    if len(posteriors) == 1:
        mean = np.log(np.maximum(posteriors[0], 1e-30))
    elif kind == "geometric":
        mean = np.zeros_like(posteriors[0])
        for weight, one in zip(weights, posteriors, strict=True):
            mean += np.float32(weight) * np.log(np.maximum(one, FLOOR))
    else:
        mixed = np.zeros_like(posteriors[0])
        for weight, one in zip(weights, posteriors, strict=True):
            mixed += np.float32(weight) * one
        mean = np.log(np.maximum(mixed, 1e-30))
    return log_probabilities(mean)
