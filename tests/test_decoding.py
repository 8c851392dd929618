from __future__ import annotations

import time
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chordtool.decoding import Decoding, decode, log_probabilities, smooth, viterbi
from chordtool.frontend import BTC_FRONT_END, FrontEnd
from chordtool.vocabulary import MAJMIN

LABELS = ("C", "G", "A:min", "N")
decodings = st.builds(
    Decoding,
    method=st.sampled_from(["viterbi", "argmax"]),
    change_penalty=st.floats(0, 40),
    temperature=st.floats(0.1, 10),
    smoothing_frames=st.sampled_from([1, 3, 9]),
    min_seconds=st.floats(0, 3),
    between_frames=st.booleans(),
)
logit_arrays = arrays(
    np.float32, st.tuples(st.integers(0, 80), st.just(4)), elements=st.floats(-50, 50, width=32)
)


def textbook_viterbi(scores: np.ndarray, penalty: float) -> float:
    """Score of the best path, by the full recursion over all pairs of classes."""
    n_classes = scores.shape[1]
    moves = np.full((n_classes, n_classes), -penalty)
    np.fill_diagonal(moves, 0)
    total = scores[0].astype(np.float64)
    for frame in scores[1:]:
        total = (total[:, None] + moves).max(axis=0) + frame
    return float(total.max())


def path_score(scores: np.ndarray, path: np.ndarray, penalty: float) -> float:
    chosen = scores[np.arange(len(path)), path].astype(np.float64).sum()
    return float(chosen - penalty * np.count_nonzero(np.diff(path)))


@settings(deadline=None)
@given(logit_arrays.filter(len), st.floats(0, 30))
def test_viterbi_finds_a_best_path(logits: np.ndarray, penalty: float) -> None:
    scores = log_probabilities(logits)
    path = viterbi(scores, penalty)
    best = textbook_viterbi(scores, penalty)
    assert path_score(scores, path, penalty) == pytest.approx(best, rel=1e-5, abs=1e-3)


def test_viterbi_without_a_penalty_is_argmax() -> None:
    scores = log_probabilities(np.random.default_rng(1).normal(size=(200, 170)))
    assert np.array_equal(viterbi(scores, 0.0), scores.argmax(axis=1))


def test_a_penalty_rides_over_a_glitch() -> None:
    logits = np.zeros((21, 4), np.float32)
    logits[:, 0] = 2
    logits[10] = [0, 2, 0, 0]
    edges = FrontEnd().frame_edges(21, 2.0)
    labels = [s.label for s in decode(logits, edges, LABELS, Decoding(change_penalty=3))]
    assert labels == ["C"]
    labels = [s.label for s in decode(logits, edges, LABELS, Decoding(method="argmax"))]
    assert labels == ["C", "G", "C"]


@settings(deadline=None)
@given(logit_arrays, st.floats(0, 20), decodings, st.booleans())
def test_segments_tile_the_recording(
    logits: np.ndarray, seconds: float, decoding: Decoding, chunked: bool
) -> None:
    front_end = BTC_FRONT_END if chunked else FrontEnd()
    edges = front_end.frame_edges(len(logits), seconds)
    segments = decode(logits, edges, LABELS, decoding)
    if len(logits) == 0 or seconds == 0:
        assert segments == ()
        return
    assert segments[0].start == 0
    assert segments[-1].end == seconds
    for before, after in pairwise(segments):
        assert before.end == after.start
        assert before.label != after.label
    for segment in segments:
        assert segment.end > segment.start
        assert len(segments) == 1 or segment.seconds >= decoding.min_seconds
        assert 0 <= segment.confidence <= 1
        others = [a.confidence for a in segment.alternatives]
        assert others == sorted(others, reverse=True)
        assert segment.label not in [a.label for a in segment.alternatives]


def test_short_segments_go_to_the_neighbour_that_explains_them() -> None:
    logits = np.zeros((30, 4), np.float32)
    logits[:14, 0] = 5
    logits[14:16] = [0, 3, 5, 0]
    logits[16:, 1] = 5
    edges = FrontEnd().frame_edges(30, 30 * 2048 / 22_050)
    found = decode(logits, edges, LABELS, Decoding(method="argmax", min_seconds=0.5))
    assert [s.label for s in found] == ["C", "G"]
    assert found[0].end == pytest.approx(edges[14])


@pytest.mark.parametrize(("before", "after", "moved"), [(3, -1, 0.25), (1, -1, 0), (1, -3, -0.25)])
def test_a_boundary_lies_where_the_log_odds_cross_zero(
    before: float, after: float, moved: float
) -> None:
    logits = np.zeros((20, 2), np.float32)
    logits[:10, 0], logits[10:, 1] = 8, 8
    logits[9, 0], logits[10] = before, [after, 0]
    edges = FrontEnd().frame_edges(20, 20 * 2048 / 22_050)
    on_frames, between = (
        decode(logits, edges, LABELS[:2], Decoding(between_frames=b))[0].end for b in (False, True)
    )
    assert on_frames == edges[10]
    assert between - edges[10] == pytest.approx(moved * 2048 / 22_050, abs=1e-7)


def test_a_boundary_without_a_crossing_stays_on_its_frame() -> None:
    logits = np.zeros((22, 3), np.float32)
    logits[:10, 0], logits[12:, 1] = 8, 8
    logits[10:12] = [[3, 0, 5], [0, 1, 5]]  # too short to stay, and then more of a C than of a G
    edges = FrontEnd().frame_edges(22, 22 * 2048 / 22_050)
    decoding = Decoding(method="argmax", min_seconds=0.5, between_frames=True)
    found = decode(logits, edges, LABELS[:3], decoding)
    assert [(s.label, s.end) for s in found] == [("C", edges[12]), ("G", edges[-1])]


@pytest.mark.parametrize(("spare", "moves"), [(0.0, False), (0.3, True)])
def test_a_boundary_stays_where_a_chord_would_get_too_short(spare: float, moves: bool) -> None:
    logits = np.zeros((20, 2), np.float32)
    logits[:10, 0], logits[10:, 1] = 8, 8
    logits[9, 0], logits[10] = 3, [-1, 0]  # crosses zero a quarter of a frame later
    edges = np.arange(21.0)
    decoding = Decoding(between_frames=True, min_seconds=10.0 - spare)
    assert decode(logits, edges, LABELS[:2], decoding)[0].end == (10.25 if moves else 10.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_softens_what_is_believed(temperature: float) -> None:
    p = np.array([0.7, 0.2, 0.1])
    logits = np.log(p).astype(np.float32)[None]
    found = decode(logits, np.array([0.0, 1.0]), LABELS[:3], Decoding(temperature=temperature))
    softened = p ** (1 / temperature)
    assert found[0].confidence == pytest.approx(softened[0] / softened.sum(), rel=1e-5)


def test_confidence_is_the_mean_posterior() -> None:
    p = np.array([[0.7, 0.2, 0.1, 0.0], [0.5, 0.3, 0.2, 0.0]]) + 1e-9
    edges = np.array([0.0, 1.0, 2.0])
    (segment,) = decode(np.log(p).astype(np.float32), edges, LABELS, top=2)
    assert segment.confidence == pytest.approx(0.6, abs=1e-5)
    assert [(a.label, round(a.confidence, 3)) for a in segment.alternatives] == [
        ("G", 0.25),
        ("A:min", 0.15),
    ]


def test_confidence_is_that_of_the_label_even_where_another_was_believed_more() -> None:
    p = np.array([[0.3, 0.001, 0.699], [0.4, 0.6, 0.0], [0.4, 0.6, 0.0]]) + 1e-9
    decoding = Decoding(change_penalty=20.0)
    (segment,) = decode(np.log(p).astype(np.float32), np.arange(4.0), LABELS[:3], decoding)
    assert (segment.label, segment.alternatives[0].label) == ("C", "G")
    assert segment.confidence == pytest.approx(1.1 / 3, abs=1e-5)
    assert segment.alternatives[0].confidence == pytest.approx(1.201 / 3, abs=1e-5)


def test_smoothing_keeps_constants_and_means() -> None:
    constant = np.full((20, 4), 3.5, np.float32)
    assert np.allclose(smooth(constant, 9), constant, atol=1e-5)
    impulse = np.zeros((31, 1), np.float32)
    impulse[15] = 1
    spread = smooth(impulse, 9)[:, 0]
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(spread, spread[::-1])
    sigma = np.sqrt((spread * (np.arange(31) - 15) ** 2).sum())
    assert sigma == pytest.approx(9 / 6, rel=0.05)


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "guess"},
        {"change_penalty": -1},
        {"change_penalty": float("nan")},
        {"temperature": 0},
        {"smoothing_frames": 4},
        {"smoothing_frames": True},
        {"min_seconds": "1"},
        {"between_frames": 1},
        {"unknown": 1},
    ],
)
def test_a_description_out_of_range_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Decoding.from_dict(bad)


def test_a_description_survives_its_dict() -> None:
    decoding = Decoding("argmax", 2.5, 1.5, 9, 0.3, True)
    assert Decoding.from_dict(decoding.to_dict()) == decoding


def shortest_first(labels: list[int], scores: np.ndarray, min_frames: int) -> list[int]:
    """The definition of ``min_seconds``, run by run: the class of each frame."""
    while True:
        runs = [list(group) for _, group in groupby(range(len(labels)), key=lambda t: labels[t])]
        short = min(runs, key=len)
        if len(runs) == 1 or len(short) >= min_frames:
            return labels
        k = runs.index(short)
        beside = [labels[runs[j][0]] for j in (k - 1, k + 1) if 0 <= j < len(runs)]
        heir = max(beside, key=lambda label: float(scores[short, label].sum()))
        labels = [heir if t in short else label for t, label in enumerate(labels)]


@pytest.mark.parametrize("seed", range(40))
def test_the_shortest_goes_first_and_to_the_neighbour_that_explains_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(30, 4)).astype(np.float32)
    edges = np.arange(31.0)
    min_frames = int(rng.integers(2, 9))
    found = decode(logits, edges, tuple("ABCD"), Decoding("argmax", min_seconds=min_frames))
    scores = log_probabilities(logits)
    wanted = shortest_first(logits.argmax(axis=1).tolist(), scores, min_frames)
    assert ["ABCD".index(s.label) for s in found for _ in range(round(s.seconds))] == wanted


def test_hours_of_short_chords_are_merged_in_seconds() -> None:
    logits = np.random.default_rng(0).normal(size=(20_000, 25)).astype(np.float32)
    edges = np.arange(20_001) * 0.1
    begun = time.process_time()
    found = decode(logits, edges, MAJMIN, Decoding("argmax", min_seconds=2.0))
    assert time.process_time() - begun < 10
    assert min(s.seconds for s in found) >= 2.0 - 1e-9
