from __future__ import annotations

import warnings
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordtool.errors import LabelError, UsageError
from chordtool.evaluation import METRICS, QUALITY_GROUPS, Scores, evaluate
from chordtool.evaluation.scores import SEGMENTATION, STATISTICS
from chordtool.formats import read_transcription
from chordtool.segments import Segment
from chordtool.vocabulary import LARGE, parse
from tests.evaluation.made import song, worse

Segments = tuple[Segment, ...]


def by_hand(reference: Segments, estimate: Segments) -> dict[str, float]:
    """What mir_eval says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores: dict[str, float] = mir_eval.chord.evaluate(
            np.array([[s.start, s.end] for s in reference]),
            [s.label for s in reference],
            np.array([[s.start, s.end] for s in estimate]),
            [s.label for s in estimate],
        )
    return scores


def one(reference: Segments, estimate: Segments) -> Scores:
    return evaluate({"song": reference}, {"song": estimate})


def chords(text: str) -> Segments:
    """``"C A:min"``: a second each."""
    return tuple(Segment(float(i), i + 1.0, label) for i, label in enumerate(text.split()))


def assert_as_by_hand(reference: Segments, estimate: Segments) -> None:
    scores, expected = one(reference, estimate), by_hand(reference, estimate)
    for name in (*METRICS, *SEGMENTATION):
        found = scores[name].value
        assert (0.0 if np.isnan(found) else found) == pytest.approx(expected[name], abs=1e-9), name


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([0.0, 1.7]))
def test_a_song_scores_what_mir_eval_by_hand_says(
    seed: int, other: int, errors: float, start: float
) -> None:
    reference = song(seed, n=12, start=start)
    assert_as_by_hand(reference, worse(reference, other, errors))
    assert_as_by_hand(reference, song(other, n=12))


def test_real_labels_score_what_mir_eval_by_hand_says(shared: Path) -> None:
    files = sorted((shared / "audio/pop909-dev").glob("*.lab"))[:4]
    references = {file.stem: read_transcription(file).segments for file in files}
    estimates = {name: worse(found, 3, 0.2) for name, found in references.items()}
    scores = evaluate(references, estimates)
    seconds = {name: found[-1].end for name, found in references.items()}
    expected = {name: by_hand(references[name], estimates[name]) for name in references}
    for name in (*METRICS, *SEGMENTATION):
        total = sum(expected[song][name] * seconds[song] for song in references)
        assert scores[name].value == pytest.approx(total / sum(seconds.values()), abs=1e-9)


def test_perfect_estimates_score_one() -> None:
    reference = chords("C A:min F:maj7 G:7 N D:dim E:hdim7 B:aug A:sus4 G:min6 F:minmaj7")
    scores = one(reference, reference)
    assert {name: scores[name].value for name in STATISTICS} == dict.fromkeys(STATISTICS, 1.0)
    assert set(scores.qualities) == set(QUALITY_GROUPS) - {"min7", "dim7", "maj6"}


def test_longer_songs_weigh_more() -> None:
    long, short = chords("C C C"), chords("G")
    halves = (Segment(0.0, 0.5, "D"), Segment(0.5, 1.0, "E"))
    scores = evaluate({"a": long, "b": short}, {"a": long, "b": halves})
    assert scores["root"].value == pytest.approx(0.75)
    assert scores["overseg"].value == pytest.approx((3 * 1.0 + 1 * 0.5) / 4)
    assert scores.seconds == 4.0


def test_a_song_where_nothing_is_comparable_does_not_count() -> None:
    scores = evaluate(
        {"a": chords("C:dim C:dim"), "b": chords("C G")}, {"a": chords("N N"), "b": chords("C D")}
    )
    assert scores["majmin"].value == pytest.approx(0.5)
    assert scores["root"].value == pytest.approx(0.25)


def test_acqa_is_the_mean_over_the_qualities_there_are() -> None:
    # Major right for 2 of 3 s whatever the root, minor for 0 of 1, sus for 1 of 1, N for 1 of 1.
    scores = one(chords("C G C A:min D:sus2 N"), chords("C F C:7 A D:sus4 N"))
    assert scores["acqa"].value == pytest.approx((2 / 3 + 0 + 1 + 1) / 4)
    accuracies = {name: found.value for name, found in scores.qualities.items()}
    assert accuracies == pytest.approx({"maj": 2 / 3, "min": 0.0, "sus": 1.0, "N": 1.0})


def test_references_out_of_every_group_do_not_count_for_qualities() -> None:
    scores = one(chords("X C:5 C"), chords("C C X"))
    assert {name: found.value for name, found in scores.qualities.items()} == {"maj": 0.0}
    assert scores.confusion.sum() == 1.0


def test_confusion_holds_the_seconds_of_each_pair_of_qualities() -> None:
    scores = one(chords("C C:7 C:7 A:min"), chords("C C G:7 X"))
    index = QUALITY_GROUPS.index
    expected = np.zeros((14, 15))
    expected[index("maj"), index("maj")] = 1
    expected[index("7"), index("maj")] = 1
    expected[index("7"), index("7")] = 1
    expected[index("min"), 14] = 1
    np.testing.assert_array_equal(scores.confusion, expected)


def test_every_class_of_the_vocabulary_is_in_a_group_or_is_x() -> None:
    qualities = {parse(label).quality for label in LARGE}
    scores = one(
        chords(" ".join(f"C:{q}" if q not in "NX" else q for q in sorted(qualities))),
        chords("N"),
    )
    assert set(scores.qualities) == set(QUALITY_GROUPS)


def test_dirty_labels_are_mended() -> None:
    clean, dirty = chords("E:min/4 A:7/3 C:maj6 C:sus4"), chords("Emin/4 A7/3 C:6 C:4")
    assert one(clean, dirty)["mean"].value == 1.0
    assert one(dirty, clean)["acqa"].value == 1.0


def test_time_before_the_first_label_does_not_count() -> None:
    late = tuple(Segment(s.start + 5, s.end + 5, s.label) for s in chords("C G"))
    estimate = (Segment(0, 5, "D"), *late)
    assert one(late, estimate)["root"].value == 1.0
    assert one(late, estimate).seconds == 2.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(1, 10)), st.sets(st.integers(1, 10)))
def test_gaps_are_what_mir_eval_takes_them_for(seed: int, ours: set[int], other: set[int]) -> None:
    whole = song(seed, n=12)
    reference = tuple(s for n, s in enumerate(whole) if n not in ours)
    estimate = tuple(s for n, s in enumerate(worse(whole, seed, 0.3)) if n not in other)
    assert_as_by_hand(reference, estimate)


def test_a_gap_belongs_to_the_chord_before_it_and_the_ends_to_none() -> None:
    gappy = (Segment(1, 2, "C"), Segment(3, 4, "G"))
    assert one(chords("N C C G N"), gappy)["tetrads"].value == 1.0
    assert one(gappy, chords("N C C G N"))["tetrads"].value == 1.0
    assert one(chords("C C C"), ())["root"].value == 0.0


def test_rounded_times_are_no_chord_of_their_own() -> None:
    gappy = tuple(Segment(n, n + 0.999, label) for n, label in enumerate(("C", "A:min", "G")))
    scores = one(gappy, gappy)
    assert scores["acqa"].value == scores["root"].value == 1.0


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(UsageError, match="both a reference and an estimate"):
        evaluate({"a": chords("C")}, {"b": chords("C")})
    with pytest.raises(UsageError):
        evaluate({"a": (Segment(1.0, 1.0, "C"),)}, {"a": chords("C")})


def test_a_label_that_is_no_chord_is_an_error() -> None:
    with pytest.raises(LabelError):
        one(chords("C"), chords("H"))


def test_scores_of_some_songs_are_those_of_these_songs_alone() -> None:
    references = {str(i): song(i) for i in range(4)}
    estimates = {name: worse(found, 9) for name, found in references.items()}
    both = ("1", "3")
    some = evaluate(references, estimates).only(both)
    alone = evaluate({n: references[n] for n in both}, {n: estimates[n] for n in both})
    assert some.intervals == alone.intervals
