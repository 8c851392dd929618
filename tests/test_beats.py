from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordtool import beats, plugins
from chordtool.beats import Beats, BeatTracker, add_beats, bars_of, load_tracker, snap_to_beats
from chordtool.errors import FormatError, UsageError
from chordtool.segments import Segment, Transcription
from tests.songs import SONG

GRID = tuple(0.5 * n for n in range(33))


def song(*edges_and_labels: float | str) -> Transcription:
    """``song(0, "C", 2.1, "G", 4)``."""
    edges = [float(e) for e in edges_and_labels[::2]]
    labels = [str(label) for label in edges_and_labels[1::2]]
    segments = tuple(Segment(edges[n], edges[n + 1], labels[n]) for n in range(len(labels)))
    return Transcription(segments, edges[-1])


def changes(transcription: Transcription) -> list[tuple[float, str]]:
    return [(s.start, s.label) for s in transcription.segments]


def test_a_change_moves_to_the_nearest_beat() -> None:
    snapped = snap_to_beats(song(0, "C", 2.1, "G", 3.8, "F", 8), Beats(GRID))
    assert changes(snapped) == [(0.0, "C"), (2.0, "G"), (4.0, "F")]
    assert snapped.segments[-1].end == 8.0


def test_a_change_far_from_all_beats_stays() -> None:
    snapped = snap_to_beats(song(0, "C", 1.3, "G", 8), Beats((4.0, 4.5, 5.0)))
    assert changes(snapped) == [(0.0, "C"), (1.3, "G")]


def test_a_chord_without_a_beat_is_given_up_and_its_neighbours_may_join() -> None:
    snapped = snap_to_beats(song(0, "C", 2.05, "G", 2.15, "C", 4), Beats(GRID))
    assert changes(snapped) == [(0.0, "C")]
    assert snapped.segments[0].end == 4.0


def test_too_few_beats_change_nothing() -> None:
    plain = song(0, "C", 2.1, "G", 4)
    for times in ((), (1.0,)):
        snapped = snap_to_beats(plain, Beats(times))
        assert snapped.segments == plain.segments
        assert snapped.downbeats == ()


def test_beats_outside_the_recording_are_left_out() -> None:
    snapped = snap_to_beats(song(0, "C", 2), Beats((-0.5, 0.0, 1.0, 2.0, 2.5)))
    assert snapped.beats == (0.0, 1.0, 2.0)


@given(
    st.lists(st.floats(0.01, 5.0), min_size=1, max_size=20),
    st.lists(st.floats(0.05, 2.0), max_size=40),
    st.data(),
)
@settings(deadline=None)
def test_what_comes_out_tiles_the_recording(
    lengths: list[float], gaps: list[float], data: st.DataObject
) -> None:
    edges = np.concatenate([[0.0], np.cumsum(lengths)]).tolist()
    labels = data.draw(
        st.lists(st.sampled_from("CDG"), min_size=len(lengths), max_size=len(lengths))
    )
    plain = Transcription(
        tuple(Segment(edges[n], edges[n + 1], label) for n, label in enumerate(labels)), edges[-1]
    )
    snapped = snap_to_beats(plain, Beats(tuple(np.cumsum(gaps).tolist())))
    bounds = [0.0, *(s.end for s in snapped.segments)]
    assert [s.start for s in snapped.segments] == bounds[:-1]
    assert bounds[-1] == plain.seconds
    assert all(s.seconds > 0 for s in snapped.segments)
    assert set(snapped.downbeats) <= set(snapped.beats)
    assert all(bar.chords for bar in bars_of(snapped))


@pytest.mark.parametrize("phase", range(4))
def test_bars_begin_where_long_chords_begin(phase: int) -> None:
    first = 0.5 * phase
    edges = [e for e in (0.0, *np.arange(first, 14, 2.0), 16.0) if e > 0 or phase != 0]
    edges = sorted({0.0, *edges})
    labels = [("C", "G", "F")[n % 3] for n in range(len(edges) - 1)]
    plain = Transcription(
        tuple(Segment(edges[n], edges[n + 1], label) for n, label in enumerate(labels)), 16.0
    )
    assert snap_to_beats(plain, Beats(GRID)).downbeats[0] == first


def test_a_pickup_chord_does_not_win_over_the_bars() -> None:
    plain = song(0, "N", 1.5, "G:7", 2, "C", 5.5, "G:7", 6, "C", 9.5, "G:7", 10, "C", 16)
    assert snap_to_beats(plain, Beats(GRID)).downbeats[0] == 0.0


def test_a_trackers_own_bars_are_kept() -> None:
    snapped = snap_to_beats(song(0, "C", 2, "G", 6), Beats(GRID, (0.5, 2.0, 3.5, 99.0)))
    assert snapped.downbeats == (0.5, 2.0, 3.5)


def test_bars_have_the_chord_of_each_beat() -> None:
    bars = bars_of(SONG)
    assert [bar.chords for bar in bars] == [
        (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 4, 5, 5),
        (6, 6, 6, 6), (7, 7, 8, 8), (9, 9, 10, 10), (10, 10, 10, 10),
    ]  # fmt: skip
    assert bars[0].start == 1.0


def test_what_comes_before_the_first_bar_is_not_lost() -> None:
    plain = Transcription(
        song(0, "C", 0.6, "D", 2, "G", 6).segments,
        6.0,
        beats=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
        downbeats=(2.0, 4.0),
    )
    assert [bar.chords for bar in bars_of(plain)] == [(0,), (1, 1), (2, 2, 2, 2), (2,)]


def test_without_downbeats_there_are_no_bars() -> None:
    assert bars_of(song(0, "C", 2)) == []


def test_librosa_finds_the_clicks_and_bars_come_from_the_chords() -> None:
    """Sixteen seconds of clicks at 120 a minute."""
    rate = 22050
    samples = np.zeros(16 * rate, np.float32)
    click = np.hanning(400).astype(np.float32) * np.sin(np.arange(400) * 0.4).astype(np.float32)
    for beat in np.arange(0.25, 15.9, 0.5):
        at = int(beat * rate)
        samples[at : at + 400] += click
    plain = song(0, "C", 2.28, "G", 4.2, "F", 6.3, "C", 16)
    found = add_beats(plain, samples, rate)
    assert np.median(np.diff(found.beats)) == pytest.approx(0.5, abs=0.03)
    assert [s.start for s in found.segments] == pytest.approx([0, 2.25, 4.25, 6.25], abs=0.06)
    assert found.downbeats[1] - found.downbeats[0] == pytest.approx(2.0, abs=0.1)
    assert min(abs(d - 2.25) for d in found.downbeats) < 0.06


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(44100, np.float32)])
def test_silence_has_no_beats(samples: np.ndarray) -> None:
    assert load_tracker().track(samples, 22050) == Beats(())


def test_looking_for_a_tracker_does_not_import_librosa() -> None:
    import subprocess

    code = (
        "import sys; from chordtool.beats import load_tracker; load_tracker();"
        "assert 'librosa' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_tracker_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        load_tracker("librosah")
    assert "Did you mean librosa?" in caught.value.hint


def test_a_tracker_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(samples: np.ndarray, rate: int) -> Beats:
        raise ValueError("no rhythm")

    broken = BeatTracker("broken", "", "", fail)
    monkeypatch.setattr(beats, "load_tracker", lambda name: broken)
    with pytest.raises(FormatError, match="'broken' failed: ValueError: no rhythm"):
        add_beats(song(0, "C", 1), np.zeros(10, np.float32), 22050, "broken")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "it gives no Beats but NoneType"),
        ([0.5, 1.0], "it gives no Beats but list"),
        (Beats(("a", "b")), "could not convert string to float"),  # type: ignore[arg-type]
        (Beats(GRID, None), "'NoneType' object is not iterable"),  # type: ignore[arg-type]
        (Beats(GRID[::-1]), "its times do not rise"),
        (Beats((0.5, float("nan"), 1.0)), "its times do not rise"),
    ],
)
def test_a_tracker_that_finds_no_beats_that_rise_is_named(
    found: object, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = BeatTracker("broken", "", "", lambda samples, rate: found)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(beats, "load_tracker", lambda name: broken)
    with pytest.raises(FormatError, match="The beat tracker 'broken' failed") as caught:
        add_beats(SONG, np.zeros(100, np.float32), 22_050, "broken")
    assert why in caught.value.message


@pytest.mark.parametrize("value", ["no_such_module:TRACKER", "os:path"])
def test_a_tracker_that_cannot_be_used_is_not_called_unknown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"broken": plugins.Plugin("broken", "their-package", value)}
    monkeypatch.setattr(plugins, "_foreign", lambda group: broken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", plugins.PluginWarning)
        with pytest.raises(UsageError) as caught:
            load_tracker("broken")
    assert caught.value.message == (
        "The beat tracker 'broken' of the package their-package cannot be used."
    )
    assert caught.value.hint == "Choose another beat tracker, or mend that package."
