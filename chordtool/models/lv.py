"""The lv teacher: large-vocabulary chord transcription by chord structure decomposition.

Jiang, Chen, Li and Xia, ISMIR 2019. Five networks, one for each fold of their training data,
whose probabilities are averaged. Each describes a chord by its parts: triad, bass, seventh,
ninth, eleventh and thirteenth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chordtool import catalogue
from chordtool.decoding import Decoding, log_probabilities
from chordtool.models.card import ModelCard
from chordtool.models.lv_network import N_INPUTS, N_OUTPUTS, LvNetwork
from chordtool.models.teacher_frontends import LV_FRONT_END, hybrid_cqt
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import N_CLASSES, N_INDEX, QUALITIES

_CROP: Final = slice(18, 18 + N_INPUTS)
"""The bins that the network reads; the others were for transposing its training data."""
_HEADS: Final = {
    "triad": slice(0, 73),
    "bass": slice(73, 86),
    "seventh": slice(86, 90),
    "ninth": slice(90, 94),
    "eleventh": slice(94, 97),
    "thirteenth": slice(97, 100),
}
# Position of a triad among the six of the first head; index in the seventh head (none, 7, b7,
# bb7) and in the thirteenth (none, 13, b13), None where the quality leaves it open.
_STRUCTURE: Final[dict[str, tuple[int, int | None, int | None]]] = {
    "maj": (0, 0, 0),
    "maj6": (0, 0, 1),
    "maj7": (0, 1, None),
    "7": (0, 2, None),
    "min": (1, 0, 0),
    "min6": (1, 0, 1),
    "minmaj7": (1, 1, None),
    "min7": (1, 2, None),
    "sus4": (2, None, None),
    "sus2": (3, None, None),
    "dim": (4, 0, None),
    "hdim7": (4, 2, None),
    "dim7": (4, 3, None),
    "aug": (5, None, None),
}
_FLOOR: Final = np.float32(1e-30)
"""Least probability of a class: what the teacher cannot say, X for one, stays finite."""

# A recording up to this long is seen whole, as in the reference. Longer ones are seen in equal
# parts with some context on either side: normalisation and recurrence reach over minutes, not
# hours, and the activations of a part fit into 0.7 GiB.
_PART_FRAMES: Final = 15 * 60 * 22_050 // 512
_CONTEXT_FRAMES: Final = 20 * 22_050 // 512


def load() -> Lv:
    """The lv teacher with the weights on this machine.

    Raises:
        ModelUnavailableError: they are not here.
        ModelError: they are damaged.
    """
    return Lv([LvNetwork(path) for path in catalogue.weights("lv")])


class Lv:
    """Five networks and the way from the parts of a chord to the 170 classes."""

    def __init__(self, networks: list[LvNetwork]) -> None:
        described = catalogue.CATALOGUE["lv"]
        self._networks = networks
        self.card = ModelCard(
            name="lv",
            architecture="lv",
            front_end=LV_FRONT_END,
            segment_frames=None,
            # The reference charges 30 nats for any change of chord, but scores chords by their
            # bass and upper extensions too, so that wrong ones fall behind faster.
            decoding=Decoding(method="viterbi", change_penalty=25.0),
            licence=described.licence,
            source=described.source,
            description=described.description,
        )

    def features(self, samples: Samples) -> Features:
        """Constant-Q magnitudes, float32 [frames, 288], of float32 [n] at 22,050 Hz."""
        return hybrid_cqt(samples)

    def logits(self, features: Features) -> Logits:
        """Log-probabilities of the 170 classes, float32 [frames, 170].

        Args:
            features: float32 [frames, 288]; beyond 15 minutes they are seen in parts.
        """
        probabilities = np.empty((len(features), N_OUTPUTS), np.float32)
        for part, kept, seen in _parts(len(features)):
            probabilities[part] = self._heads(features[seen, _CROP])[kept]
        return class_log_probabilities(probabilities)

    def _heads(self, magnitudes: Features) -> NDArray[np.float32]:
        """Mean probabilities of the heads, float32 [frames, 100]."""
        total = np.zeros((len(magnitudes), N_OUTPUTS), np.float32)
        for network in self._networks:
            logits = network.run(magnitudes)
            for head in _HEADS.values():
                total[:, head] += np.exp(log_probabilities(logits[:, head]))
        total /= np.float32(len(self._networks))
        return total


def _parts(n_frames: int) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of a recording: where a part lies, where in what is seen of it, what is seen."""
    n_parts = -(-n_frames // _PART_FRAMES)
    for k in range(n_parts):
        first, stop = k * n_frames // n_parts, (k + 1) * n_frames // n_parts
        begin, end = max(0, first - _CONTEXT_FRAMES), min(n_frames, stop + _CONTEXT_FRAMES)
        yield slice(first, stop), slice(first - begin, stop - begin), slice(begin, end)


def class_log_probabilities(heads: NDArray[np.float32]) -> Logits:
    """Log-probabilities of the 170 classes from those of a chord's parts.

    The probability of a class is the product of its triad's and of those heads that its quality
    fixes; the products are made to sum to one. ``X`` cannot be said.

    Args:
        heads: float32 [frames, 100], each head summing to one.

    Returns:
        float32 [frames, 170].
    """
    logs = np.log(np.maximum(heads, _FLOOR))
    triad, seventh, thirteenth = (
        logs[:, _HEADS[name]] for name in ("triad", "seventh", "thirteenth")
    )
    classes = np.full((len(heads), N_CLASSES), np.log(_FLOOR), np.float32)
    classes[:, N_INDEX] = triad[:, 0]
    for k, quality in enumerate(QUALITIES):
        position, seventh_index, thirteenth_index = _STRUCTURE[quality]
        score = triad[:, 1 + 12 * position : 13 + 12 * position]
        if seventh_index is not None:
            score = score + seventh[:, seventh_index, None]
        if thirteenth_index is not None:
            score = score + thirteenth[:, thirteenth_index, None]
        classes[:, k : 12 * len(QUALITIES) : len(QUALITIES)] = score
    logits: Logits = np.maximum(log_probabilities(classes), np.log(_FLOOR))
    return logits
