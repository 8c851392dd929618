"""For authors of plug-ins: does a model keep the contract of :class:`chordtool.models.Model`?

>>> from chordtool.testing import check_model
>>> def test_my_model() -> None:
...     check_model(MyModel())
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.decoding import decode
from chordtool.models.base import Model
from chordtool.models.card import ModelCard
from chordtool.types import Samples
from chordtool.vocabulary import VOCABULARIES

_TONES: Final = (130.81, 164.81, 196.00, 261.63)
"""C3, E3, G3, C4 in Hz."""


def check_model(model: Model, *, seconds: float = 5.0) -> None:
    """Try a model on made-up recordings and see whether it keeps the contract.

    It is given music, silence, a single sample, no sample at all and a single frame; it must
    answer with finite float32 of the right shape, the same every time, without changing what
    it was given.

    Args:
        model: a model that is ready to use.
        seconds: length of the longest recording.

    Raises:
        AssertionError: it does not keep the contract; the message says in what way.
    """
    card = _check_card(model)
    rate = card.front_end.sample_rate
    music = chord_of_sines(seconds, rate)
    recordings = {
        "music": music,
        "silence": np.zeros(rate, np.float32),
        "full-scale noise": np.random.default_rng(0).uniform(-1, 1, rate).astype(np.float32),
        "a single sample": music[1:2],
        "a recording without samples": music[:0],
        "a recording of one hop": music[: card.front_end.hop_length],
    }
    first = _answer(model, music, "music")
    for what, samples in recordings.items():
        logits = _answer(model, samples, what)
        _check_decoding(card, logits, samples, what)
    _check_single_frames(model, music)
    again = _answer(model, music, "music")
    _check(
        np.array_equal(first, again),
        "logits() of the same music differ from one time to the next: a model may keep nothing "
        "of the recordings it has heard, and must not draw random numbers",
    )


def chord_of_sines(seconds: float, sample_rate: int) -> Samples:
    """A C major chord of sine tones that fades away, with a little noise; the same each time.

    Returns:
        float32 [seconds * sample_rate], within -1..1.
    """
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tones = np.sum([np.sin(2 * np.pi * tone * time) for tone in _TONES], axis=0) / len(_TONES)
    noise = np.random.default_rng(0).normal(0.0, 1e-3, len(time))
    samples: Samples = (0.5 * tones * np.exp(-time / 4) + noise).astype(np.float32)
    return samples


def _check_card(model: Model) -> ModelCard:
    card: Any = getattr(model, "card", None)
    _check(isinstance(card, ModelCard), f"card is not a ModelCard but {type(card).__name__}")
    assert isinstance(card, ModelCard)
    _check(bool(card.name), "the card has no name")
    try:
        again = ModelCard.from_json(card.to_json())
    except Exception as error:
        raise AssertionError(
            f"the card cannot be written as JSON and read back: {error}"
        ) from error
    _check(again == card, "the card read back from JSON is another one")
    return card


def _answer(model: Model, samples: Samples, what: str) -> NDArray[np.float32]:
    """Logits of a recording by way of its features, both checked."""
    card = model.card
    given = samples.copy()
    features = _call(model, "features", given, what)
    _check(np.array_equal(given, samples), f"features() changes the samples it is given ({what})")
    _check_array(features, "features()", what)
    _check(features.ndim >= 2, f"features() of {what} are not [frames, ...]: {features.shape}")
    _check_times(card, len(features), len(samples), what)
    kept = features.copy()
    logits: NDArray[np.float32] = _call(model, "logits", features, what)
    _check(np.array_equal(features, kept), f"logits() changes the features it is given ({what})")
    _check_array(logits, "logits()", what)
    expected = (len(features), len(VOCABULARIES[card.vocabulary]))
    _check(
        logits.shape == expected,
        f"logits() of {what} have the shape {list(logits.shape)} instead of {list(expected)}: "
        f"{expected[0]} frames, {expected[1]} classes of the vocabulary {card.vocabulary!r}",
    )
    return logits


def _check_times(card: ModelCard, n_frames: int, n_samples: int, what: str) -> None:
    """Frames must lie in the recording, in order, and reach its end."""
    front_end = card.front_end
    seconds = n_samples / front_end.sample_rate
    times = front_end.frame_times(n_frames)
    edges = front_end.frame_edges(n_frames, seconds)
    _check(bool(np.all(np.diff(times) > 0)), f"frame_times of {what} do not rise")
    _check(bool(np.all(np.diff(edges) >= 0)), f"frame_edges of {what} fall")
    if n_samples:
        _check(n_frames >= 1, f"features() of {what} have no frame")
    reached = n_frames * front_end.frame_seconds
    slack = 2 * front_end.frame_seconds
    _check(
        abs(reached - seconds) <= slack,
        f"features() of {what} have {n_frames} frames of {front_end.frame_seconds:.4f} s, which is "
        f"{reached:.2f} s; the recording has {seconds:.2f} s: the card's front end is another one",
    )


def _check_single_frames(model: Model, music: Samples) -> None:
    features = _call(model, "features", music, "music")
    classes = len(VOCABULARIES[model.card.vocabulary])
    for frames in (0, 1):
        logits = _call(model, "logits", features[:frames], f"{frames} frames")
        _check_array(logits, "logits()", f"{frames} frames")
        _check(
            logits.shape == (frames, classes),
            f"logits() of {frames} frames have the shape {list(logits.shape)} instead of "
            f"[{frames}, {classes}]",
        )


def _check_decoding(
    card: ModelCard, logits: NDArray[np.float32], samples: Samples, what: str
) -> None:
    seconds = len(samples) / card.front_end.sample_rate
    edges = card.front_end.frame_edges(len(logits), seconds)
    segments = decode(logits, edges, VOCABULARIES[card.vocabulary], card.decoding)
    times = [0.0] + [segment.end for segment in segments]
    starts = [segment.start for segment in segments]
    _check(
        starts == times[:-1] and times[-1] == seconds,
        f"the segments of {what} do not tile it from 0 to {seconds} s",
    )


def _call(model: Model, method: str, argument: NDArray[np.float32], what: str) -> Any:
    try:
        return getattr(model, method)(argument)
    except Exception as error:
        raise AssertionError(
            f"{method}() fails on {what}: {type(error).__name__}: {error}"
        ) from error


def _check_array(array: Any, method: str, what: str) -> None:
    _check(isinstance(array, np.ndarray), f"{method} of {what} is {type(array).__name__}, no array")
    _check(array.dtype == np.float32, f"{method} of {what} is {array.dtype} instead of float32")
    _check(bool(np.isfinite(array).all()), f"{method} of {what} holds NaN or infinite numbers")


def _check(good: bool, otherwise: str) -> None:
    # Not an assert statement: those are gone under python -O, and with them the check.
    if not good:
        raise AssertionError(f"{otherwise}.")
