from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chordtool.corpus.compact import STEP_NATS, decode, encode
from chordtool.decoding import log_probabilities


def _logits(seed: int, spread: float) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(50, 170)) * spread).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 2.5), st.sampled_from([1.0, 3.0]))
def test_every_class_above_the_floor_is_within_a_step(
    seed: int, spread: float, temperature: float
) -> None:
    logits = _logits(seed, spread)
    exact = log_probabilities(logits / temperature)
    kept = np.log(decode(encode(logits), STEP_NATS, temperature))
    # Half a step for the class, and at most half a step for the norm.
    assert np.abs(exact - kept).max() <= STEP_NATS / temperature + 1e-4


def test_rows_sum_to_one_and_the_likeliest_class_stays_first() -> None:
    logits = _logits(1, 3.0)
    kept = decode(encode(logits))
    np.testing.assert_allclose(kept.sum(axis=1), 1, atol=1e-5)
    assert (kept[np.arange(50), logits.argmax(axis=1)] == kept.max(axis=1)).all()


def test_impossible_classes_fall_to_the_floor() -> None:
    codes = encode(np.array([[0.0, -np.inf, -1e9]]))
    assert codes.tolist() == [[0, 255, 255]]


def test_no_frames_are_no_codes() -> None:
    assert encode(np.zeros((0, 170), np.float32)).shape == (0, 170)
    assert decode(np.zeros((0, 170), np.uint8)).shape == (0, 170)
