from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chordtool.models.windows import VOTES, Windows, WindowStream, run_windows

Array = NDArray[np.float32]


def echo(windows: Array) -> Array:
    """A network that answers each frame with its own features."""
    return windows.copy()


@settings(deadline=None)
@given(
    n_frames=st.integers(1, 400),
    frames=st.integers(1, 60),
    context=st.integers(0, 20),
    vote=st.sampled_from(["centre", "logits"]),
)
def test_every_frame_gets_its_own_answer(
    n_frames: int, frames: int, context: int, vote: str
) -> None:
    features = np.random.default_rng(0).normal(size=(n_frames, 3)).astype(np.float32)
    found = run_windows(echo, features, frames, Windows(context, vote))
    np.testing.assert_allclose(found, features, rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(pieces=st.lists(st.integers(1, 150), min_size=1, max_size=8), context=st.integers(0, 9))
def test_features_in_pieces_give_to_the_bit_what_they_give_at_once(
    pieces: list[int], context: int
) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(sum(pieces), 3)).astype(np.float32)
    weights = rng.normal(size=(3, 4)).astype(np.float32)

    def forward(windows: Array) -> Array:
        return np.cumsum(windows, axis=1) @ weights

    stream = WindowStream(forward, 20, Windows(context), threads=2)
    for piece in np.split(features, np.cumsum(pieces)[:-1]):
        stream.add(piece)
    np.testing.assert_array_equal(
        stream.finish(), run_windows(forward, features, 20, Windows(context))
    )


def test_inner_frames_are_taken_from_where_they_have_context() -> None:
    def distance(windows: Array) -> Array:
        place = np.arange(20, dtype=np.float32)
        edge = np.minimum(place, 19 - place)
        return np.broadcast_to(edge[None, :, None], (len(windows), 20, 1))

    found = run_windows(distance, np.zeros((84, 1), np.float32), 20, Windows(4))[:, 0]
    assert found[4:-4].min() >= 4


def test_a_short_recording_is_filled_up_with_zeros_that_do_not_come_back() -> None:
    seen: list[Array] = []

    def forward(windows: Array) -> Array:
        seen.append(windows)
        return windows

    assert run_windows(forward, np.ones((5, 2), np.float32), 8).shape == (5, 2)
    np.testing.assert_array_equal(seen[0][0, :, 0], [1, 1, 1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(("frames", "most"), [(8, 6), (108, 6), (216, 3), (300, 2), (5000, 1)])
def test_longer_windows_are_answered_fewer_at_a_time(frames: int, most: int) -> None:
    counts: list[int] = []

    def forward(windows: Array) -> Array:
        counts.append(len(windows))
        return windows

    features = np.arange(frames * 13, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(run_windows(forward, features, frames), features)
    assert max(counts) == most


def test_votes_are_means_over_the_windows_that_hold_a_frame() -> None:
    answers = np.asarray([[2.0, 0.0], [0.0, 1.0]], np.float32)

    def forward(windows: Array) -> Array:
        # Two windows, 0..4 and 2..6: frames 2 and 3 are in both.
        return np.broadcast_to(answers[:, None], (2, 4, 2))

    def voted(vote: str) -> Array:
        return run_windows(forward, np.zeros((6, 2), np.float32), 4, Windows(1, vote))[2]

    np.testing.assert_allclose(voted("logits"), [1.0, 0.5])
    np.testing.assert_allclose(voted("hard"), np.log([0.5, 0.5]))
    share = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(voted("probabilities"), np.log(share.mean(axis=0)), rtol=1e-5)


@pytest.mark.parametrize("vote", VOTES)
def test_answers_are_finite_whatever_the_vote(vote: str) -> None:
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.isfinite(run_windows(lambda x: 50 * x, features, 20, Windows(6, vote))).all()


@pytest.mark.parametrize("wrong", [{"context_frames": -1}, {"context_frames": True}, {"vote": "x"}])
def test_windows_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="windows"):
        Windows.from_dict(wrong)
