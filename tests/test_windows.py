from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from chordtool.models.windows import VOTES, Windows, read, window_starts

Array = NDArray[np.float32]


def echo(windows: Array) -> Array:
    """A network that answers each frame with its own features."""
    return windows.copy()


@given(
    n_frames=st.integers(0, 400),
    length=st.integers(1, 60),
    context=st.integers(0, 40),
    vote=st.sampled_from(["centre", "logits"]),
    batch=st.integers(1, 7),
)
def test_every_frame_gets_its_own_answer(
    n_frames: int, length: int, context: int, vote: str, batch: int
) -> None:
    features = np.random.default_rng(0).normal(size=(n_frames, 3)).astype(np.float32)
    found = read(features, length, 3, Windows(context, vote, batch), echo)
    np.testing.assert_allclose(found, features, rtol=1e-5, atol=1e-6)


@given(n_frames=st.integers(1, 2000), length=st.integers(3, 120), context=st.integers(0, 50))
def test_windows_cover_the_recording_and_overlap_by_twice_the_context(
    n_frames: int, length: int, context: int
) -> None:
    starts = window_starts(n_frames, length, context)
    if n_frames <= length:
        assert starts == [0]
        return
    assert starts[0] == 0
    assert starts[-1] + length == n_frames
    overlaps = [a + length - b for a, b in pairwise(starts)]
    assert min(overlaps) >= 2 * min(context, (length - 1) // 2)


def test_frames_are_taken_from_where_they_are_furthest_from_an_edge() -> None:
    def distance(windows: Array) -> Array:
        place = np.arange(20, dtype=np.float32)
        edge = np.minimum(place, 19 - place)
        return np.broadcast_to(edge[None, :, None], (len(windows), 20, 1))

    found = read(np.zeros((84, 1), np.float32), 20, 1, Windows(context_frames=4), distance)[:, 0]
    assert found[4:-4].min() >= 3
    assert found[0] == found[-1] == 0


def test_a_short_recording_is_filled_up_with_zeros_that_do_not_come_back() -> None:
    seen: list[Array] = []

    def forward(windows: Array) -> Array:
        seen.append(windows)
        return windows

    found = read(np.ones((5, 2), np.float32), 8, 2, Windows(), forward)
    assert found.shape == (5, 2)
    np.testing.assert_array_equal(seen[0][0], np.repeat([[1.0], [0.0]], [5, 3], axis=0) * [1, 1])


def test_votes_are_means_over_the_windows_that_see_a_frame() -> None:
    answers = iter([[2.0, 0.0], [0.0, 1.0]])

    def forward(windows: Array) -> Array:
        return np.broadcast_to(np.asarray(next(answers), np.float32), (1, 4, 2)).copy()

    def voted(vote: str) -> Array:
        nonlocal answers
        answers = iter([[2.0, 0.0], [0.0, 1.0]])
        # Two windows, 0..4 and 2..6: frames 2 and 3 are seen by both.
        return read(np.zeros((6, 2), np.float32), 4, 2, Windows(1, vote, 1), forward)[2]

    np.testing.assert_allclose(voted("logits"), [1.0, 0.5])
    np.testing.assert_allclose(voted("hard"), np.log([0.5, 0.5]))
    mean = (np.exp([2, 0]) / np.exp([2, 0]).sum() + np.exp([0, 1]) / np.exp([0, 1]).sum()) / 2
    np.testing.assert_allclose(voted("probabilities"), np.log(mean), rtol=1e-5)


@pytest.mark.parametrize("vote", VOTES)
def test_answers_are_finite_whatever_the_vote(vote: str) -> None:
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    found = read(features, 20, 4, Windows(6, vote), lambda x: 50 * x)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("wrong", [{"context_frames": -1}, {"vote": "all"}, {"batch": 0}])
def test_windows_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="windows"):
        Windows.from_dict(wrong)
