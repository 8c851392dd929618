from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.frontend import BTC_FRONT_END, FrontEnd


def test_a_frame_lasts_a_hop() -> None:
    assert FrontEnd().frame_seconds == 2048 / 22_050


def test_a_frame_of_btc_lasts_a_108th_of_ten_seconds() -> None:
    assert BTC_FRONT_END.frame_seconds == pytest.approx(10 / 108, abs=1e-12)


def test_frames_are_centred_on_their_hop() -> None:
    front_end = FrontEnd()
    edges = front_end.frame_edges(100, 9.0)
    times = front_end.frame_times(100)
    middle = slice(1, 95)
    assert np.allclose((edges[:-1] + edges[1:])[middle] / 2, times[middle])


def test_frames_of_btc_start_at_multiples_of_their_length() -> None:
    edges = BTC_FRONT_END.frame_edges(216, 20.0)
    assert edges[1] == pytest.approx(10 / 108)
    assert edges[108] == pytest.approx(10.0)


@given(st.integers(1, 5000), st.floats(0, 500), st.booleans())
def test_edges_reach_from_zero_to_the_end_and_never_fall(
    n_frames: int, seconds: float, chunked: bool
) -> None:
    edges = (BTC_FRONT_END if chunked else FrontEnd()).frame_edges(n_frames, seconds)
    assert len(edges) == n_frames + 1
    assert edges[0] == 0
    assert edges[-1] == seconds
    assert (np.diff(edges) >= 0).all()


def test_the_fingerprint_tells_features_apart_and_ignores_the_normalisation() -> None:
    assert FrontEnd().fingerprint == FrontEnd(mean=3.0, std=2.0).fingerprint
    assert FrontEnd().fingerprint != BTC_FRONT_END.fingerprint
    assert len(FrontEnd().fingerprint) == 16


def test_a_description_survives_its_dict() -> None:
    front_end = FrontEnd(chunk_samples=220_500, mean=-5.5, std=2.25)
    assert FrontEnd.from_dict(front_end.to_dict()) == front_end


def test_normalising_centres_and_scales() -> None:
    normalised = FrontEnd(mean=2.0, std=4.0).normalise(np.array([[2.0, 6.0]], np.float32))
    assert normalised.tolist() == [[0.0, 1.0]]
    assert normalised.dtype == np.float32


@pytest.mark.parametrize(
    "bad",
    [
        {"hop_length": 0},
        {"n_bins": 10**9},
        {"sample_rate": True},
        {"fmin": float("inf")},
        {"std": 0},
        {"kind": "mystery"},
        {"chunk_samples": 5},
        {"surprise": 1},
        {"mean": "0"},
    ],
)
def test_a_description_out_of_range_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        FrontEnd.from_dict(bad)


@pytest.mark.parametrize(
    "costly",
    [
        FrontEnd(hop_length=1, n_bins=1),
        FrontEnd(hop_length=220, n_bins=1),
        FrontEnd(hop_length=400, n_bins=1, chunk_samples=400),  # two frames of every chunk
    ],
)
def test_frames_beyond_all_need_are_refused(costly: FrontEnd) -> None:
    FrontEnd(sample_rate=44_100, hop_length=441, n_bins=1).check_computable()
    with pytest.raises(ValueError, match="more than 100 frames a second"):
        costly.check_computable()
