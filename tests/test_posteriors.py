from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chordtool.frontend import FrontEnd
from chordtool.models.posteriors import resample_posteriors

times = st.floats(0, 50, allow_nan=False, width=32)


def edge_lists(least: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(times, min_size=least, max_size=30).map(lambda v: np.sort(np.array(v, float)))


@st.composite
def grids(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    old = draw(edge_lists(2))
    shape = (len(old) - 1, 4)
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.0009765625, 1, width=32)))
    return raw / raw.sum(axis=1, keepdims=True), old, draw(edge_lists(1))


def by_definition(p: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Overlap of every old frame with every new one, the outer old frames held on for ever."""
    reach = old.copy()
    reach[0], reach[-1] = -1e9, 1e9
    low = np.maximum(reach[:-1][None, :], new[:-1][:, None])
    high = np.minimum(reach[1:][None, :], new[1:][:, None])
    overlap = np.maximum(high - low, 0)
    return (overlap @ p) / np.diff(new)[:, None]


@given(grids())
def test_is_the_mean_weighted_by_overlap(grid: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, old, new = grid
    result = resample_posteriors(p, old, new)
    solid = np.diff(new) > 1e-6
    if np.all(np.diff(old) > 0):
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = by_definition(p, old, new)
        np.testing.assert_allclose(result[solid], expected[solid], atol=1e-5)


@given(grids())
def test_rows_stay_probabilities(grid: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    result = resample_posteriors(*grid)
    assert result.dtype == np.float32
    assert result.shape == (len(grid[2]) - 1, 4)
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-5)


@given(grids())
def test_the_same_grid_changes_nothing(grid: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, old, _ = grid
    solid = np.diff(old) > 0
    np.testing.assert_allclose(resample_posteriors(p, old, old)[solid], p[solid], rtol=1e-5)


def test_hours_of_frames_keep_their_precision() -> None:
    fine, coarse = FrontEnd(hop_length=512), FrontEnd(hop_length=2048)
    seconds = 7200.0
    n = 1 + int(seconds * 22_050) // 512
    p = np.random.default_rng(0).dirichlet(np.ones(5), n).astype(np.float32)
    to = coarse.frame_edges(1 + int(seconds * 22_050) // 2048, seconds)
    result = resample_posteriors(p, fine.frame_edges(n, seconds), to)
    np.testing.assert_allclose(result[-200:].sum(axis=1), 1, atol=1e-5)
    k = len(to) - 100
    inside = p[4 * k - 1 : 4 * k + 2].sum(axis=0) + 0.5 * (p[4 * k - 2] + p[4 * k + 2])
    np.testing.assert_allclose(result[k], inside / 4, atol=1e-5)


def test_beyond_the_ends_the_outer_frames_hold_on() -> None:
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    result = resample_posteriors(p, np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.5, 2.5, 9.0]))
    np.testing.assert_allclose(result, [[1, 0], [0.5, 0.5], [0, 1]])


@pytest.mark.parametrize(
    ("p", "old", "new"),
    [
        (np.ones((2, 3)), np.arange(2.0), np.arange(3.0)),
        (np.ones((0, 3)), np.arange(1.0), np.arange(3.0)),
        (np.ones((2, 3)), np.array([0.0, 2.0, 1.0]), np.arange(3.0)),
        (np.ones((2, 3)), np.arange(3.0), np.array([1.0, 0.0])),
        (np.ones((2, 3)), np.arange(3.0), np.array([])),
    ],
)
def test_grids_that_make_no_sense_are_refused(
    p: np.ndarray, old: np.ndarray, new: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"fit|fall|new edges"):
        resample_posteriors(p, old, new)
