from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordtool.cli import run
from chordtool.convert import Conversion, convert, convert_file, majmin_label, triad_label
from chordtool.errors import ExitCode, FormatError, UsageError
from chordtool.formats import FormatOptions, read_transcription, render
from chordtool.segments import Alternative, Segment, Transcription
from chordtool.vocabulary import LARGE, class_of, transpose
from tests.songs import SONG

GOLDEN = Path(__file__).parent / "golden"


def chords(transcription: Transcription) -> list[str]:
    return [s.label for s in transcription.segments]


def test_transposing_moves_chords_and_alternatives() -> None:
    moved = convert(SONG, Conversion(transpose=2))
    assert chords(moved)[:4] == ["N", "C", "E:min7", "F:maj7"]
    assert moved.segments[1].alternatives[0].label == "A:min"
    assert chords(moved)[9] == "X"


def test_a_capo_lowers_the_chords_that_are_played() -> None:
    assert chords(convert(SONG, Conversion(capo=3)))[1:3] == ["G", "B:min7"]
    assert convert(SONG, Conversion(transpose=3, capo=3)) == SONG


@given(st.integers(-30, 30))
@settings(deadline=None, max_examples=25)
def test_there_and_back_is_where_it_was(semitones: int) -> None:
    there = convert(SONG, Conversion(transpose=semitones))
    assert convert(there, Conversion(transpose=-semitones)) == SONG


@pytest.mark.parametrize("rule", [majmin_label, triad_label])
def test_simplifying_commutes_with_transposing_and_is_done_once(rule) -> None:
    for label in LARGE:
        assert rule(rule(label)) == rule(label)
        assert class_of(rule(transpose(label, 5))) == class_of(transpose(rule(label), 5))


def test_major_and_minor_only() -> None:
    simple = convert(SONG, Conversion(simplify="majmin"))
    assert chords(simple) == [
        "N", "A#", "D:min", "D#", "F", "A#", "E:min", "F", "X", "A#",
    ]  # fmt: skip


def vocabulary_of(*segments: Segment) -> str:
    simple = convert(Transcription(segments, segments[-1].end), Conversion(simplify="majmin"))
    return simple.vocabulary


def test_what_is_neither_major_nor_minor_leaves_a_document_large() -> None:
    assert vocabulary_of(Segment(0.0, 1.0, "C:7"), Segment(1.0, 2.0, "N")) == "majmin"
    for label in ("X", "C:5", "C:1"):
        assert majmin_label(label) == "X"
        assert vocabulary_of(Segment(0.0, 1.0, "C:7"), Segment(1.0, 2.0, label)) == "large"
        assert vocabulary_of(Segment(0.0, 1.0, "C", 0.5, (Alternative(label, 0.1),))) == "large"


def test_triads_keep_what_has_no_seventh() -> None:
    simple = convert(SONG, Conversion(simplify="triads"))
    assert chords(simple) == [
        "N", "A#", "D:min", "D#", "F:sus4", "F", "A#", "E:dim", "F", "X", "A#",
    ]  # fmt: skip
    assert simple.vocabulary == "large"


def test_readings_that_become_one_add_their_confidence() -> None:
    segment = Segment(
        0.0, 1.0, "C:7", 0.5, (Alternative("A:min", 0.2), Alternative("C:maj7", 0.15))
    )
    (simple,) = convert(Transcription((segment,), 1.0), Conversion(simplify="triads")).segments
    assert (simple.label, simple.confidence) == ("C", pytest.approx(0.65))
    assert simple.alternatives == (Alternative("A:min", 0.2),)


def test_the_chord_stays_that_was_decided_where_others_together_are_likelier() -> None:
    others = (Alternative("A:min7", 0.28), Alternative("A:min", 0.25))
    song = Transcription((Segment(0.0, 1.0, "C:maj7", 0.3, others),), 1.0)
    (simple,) = convert(song, Conversion(simplify="majmin")).segments
    assert (simple.label, simple.confidence) == ("C", 0.3)
    assert simple.alternatives == (Alternative("A:min", pytest.approx(0.53)),)


def test_neighbours_that_become_one_average_their_confidence_over_time() -> None:
    song = Transcription(
        (
            Segment(0.0, 3.0, "C:7", 0.4, (Alternative("F", 0.4),)),
            Segment(3.0, 4.0, "C", 0.8, (Alternative("G", 0.2),)),
        ),
        4.0,
    )
    (whole,) = convert(song, Conversion(simplify="triads")).segments
    assert (whole.start, whole.end, whole.confidence) == (0.0, 4.0, pytest.approx(0.5))
    assert [(a.label, a.confidence) for a in whole.alternatives] == [
        ("F", pytest.approx(0.3)),
        ("G", pytest.approx(0.05)),
    ]


def test_nothing_to_do_changes_nothing() -> None:
    assert convert(SONG, Conversion()) == SONG


@pytest.mark.parametrize("capo", [-1, 12])
def test_a_capo_has_to_fit_the_neck(capo: int) -> None:
    with pytest.raises(UsageError, match="capo"):
        Conversion(capo=capo)


def test_an_unknown_simplification_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        Conversion(simplify="more")
    assert "majmin, triads" in caught.value.hint


@pytest.mark.parametrize("source", ["lab", "json", "jams"])
@pytest.mark.parametrize("target", ["lab", "json", "jams", "mid", "csv", "html"])
def test_every_format_that_reads_becomes_every_other(
    tmp_path: Path, source: str, target: str
) -> None:
    file = tmp_path / f"out.{target}"
    assert convert_file(GOLDEN / f"song.{source}", file, Conversion()) is None
    assert file.stat().st_size > 100
    if target in ("lab", "json", "jams"):
        assert chords(read_transcription(file)) == chords(SONG)


def test_a_lab_file_keeps_its_spelling_unless_asked(tmp_path: Path) -> None:
    source = tmp_path / "a.lab"
    source.write_text("0 1 Bb\n1 2 D#\n")
    plain = convert_file(source, None, Conversion())
    keyed = convert_file(source, None, Conversion(), options=FormatOptions(spelling="key"))
    assert plain == b"0.000\t1.000\tBb\n1.000\t2.000\tD#\n"
    assert keyed == b"0.000\t1.000\tBb\n1.000\t2.000\tEb\n"


def test_a_file_of_chords_gives_a_title_and_is_not_taken_for_the_recording(tmp_path: Path) -> None:
    labels = tmp_path / "Late Train.lab"
    labels.write_text("0 1 C\n")
    document = json.loads(convert_file(labels, None, Conversion(), format_name="json") or b"")
    assert document["source"] == ""
    chart = convert_file(labels, None, Conversion(), format_name="chart") or b""
    assert chart.startswith(b"Late Train\n")
    streamed = tmp_path / "Streamed.json"
    streamed.write_bytes(render(replace(SONG, source="-", metadata={}), "json", FormatOptions()))
    chart = convert_file(streamed, None, Conversion(), format_name="chart") or b""
    assert chart.startswith(b"Streamed\n")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes into standard input."""

    def put(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


@pytest.mark.parametrize("kind", ["lab", "json", "jams"])
def test_chords_come_from_standard_input(
    piped: Callable[[bytes], None], kind: str, tmp_path: Path
) -> None:
    piped((GOLDEN / f"song.{kind}").read_bytes())
    target = tmp_path / "out.lab"
    assert run(["convert", "-", str(target)]) == ExitCode.OK
    assert chords(read_transcription(target)) == chords(SONG)


def test_chords_from_standard_input_have_no_name(piped: Callable[[bytes], None]) -> None:
    piped(b"0 1 C\n")
    chart = convert_file(Path("-"), None, Conversion(), format_name="chart") or b""
    assert chart.startswith(b"Untitled\n")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Standard input is empty."),
        (b"0 1 H\n", "Standard input: 'H' is not a chord label."),
        (b"\0" * 9, "Standard input holds no text"),
        (b"# comment\n" * 20, "Standard input is larger than any label file"),
    ],
)
def test_what_standard_input_lacks_is_said(
    piped: Callable[[bytes], None],
    data: bytes,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("chordtool.formats.MAX_BYTES", 100)
    piped(data)
    assert run(["convert", "-", "-"]) == ExitCode.SOME_FAILED
    assert words in capfd.readouterr().err


def test_the_capo_is_named_where_a_format_can(tmp_path: Path) -> None:
    data = convert_file(GOLDEN / "song.lab", None, Conversion(capo=3), format_name="chordpro")
    assert data is not None
    assert b"{capo: 3}" in data
    assert b"{key: G}" in data


def test_a_file_is_not_written_over_itself(tmp_path: Path) -> None:
    source = tmp_path / "a.lab"
    source.write_text("0 1 C\n")
    link = tmp_path / "b.lab"
    link.symlink_to(source)
    for target in (source, link):
        with pytest.raises(UsageError, match="over itself"):
            convert_file(source, target, Conversion(transpose=1), overwrite=True)
    assert source.read_text() == "0 1 C\n"


def test_a_file_that_exists_is_left_alone_unless_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    song, target = str(GOLDEN / "song.lab"), tmp_path / "mine.csv"
    target.write_text("my own corrections")
    assert run(["convert", song, str(target)]) == ExitCode.SOME_FAILED
    said = capfd.readouterr().err
    assert "mine.csv exists already." in said
    assert "--overwrite" in said
    assert target.read_text() == "my own corrections"
    assert run(["convert", song, str(target), "--overwrite"]) == ExitCode.OK
    assert target.read_text().startswith("start,end")


def test_a_format_of_the_settings_gives_way_to_the_suffix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHORDTOOL_CONVERT_FORMAT", "csv")
    song, target = str(GOLDEN / "song.lab"), tmp_path / "song.lrc"
    assert run(["convert", song, str(target)]) == ExitCode.OK
    assert target.read_text().startswith("[ti:")
    assert run(["convert", song, "-"]) == ExitCode.OK
    assert capfd.readouterr().out.startswith("start,end")


def test_a_recording_that_is_missing_is_not_passed_over_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    song, page = str(GOLDEN / "song.lab"), tmp_path / "page.html"
    assert run(["convert", song, str(page), "--embed-audio"]) == ExitCode.USAGE
    assert "--audio" in capfd.readouterr().err
    assert not page.exists()
    assert run(["convert", song, str(page), "--audio", "nosuch.mp3"]) == ExitCode.OK
    assert "warning: nosuch.mp3 is not there" in capfd.readouterr().err


def test_a_target_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be written"):
        convert_file(GOLDEN / "song.lab", tmp_path / "no" / "folder.lab", Conversion())
    (tmp_path / "taken.lab").mkdir()
    with pytest.raises(FormatError, match="cannot be written"):
        convert_file(GOLDEN / "song.lab", tmp_path / "taken.lab", Conversion(), overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken.lab"]


def test_the_command_converts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    song = str(GOLDEN / "song.lab")
    options = ["--transpose", "2", "--simplify", "majmin", "--spelling", "key", "-f", "json"]
    assert run(["convert", song, "-", *options]) == ExitCode.OK
    document = json.loads(capfd.readouterr().out)
    assert [s["label"] for s in document["segments"]][1:4] == ["C", "E:min", "F"]
    assert run(["convert", song, str(tmp_path / "a.mid")]) == ExitCode.OK
    assert (tmp_path / "a.mid").read_bytes().startswith(b"MThd")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["-f", "nosuch"], ExitCode.USAGE, "no format named 'nosuch'"),
        (["--capo", "12"], ExitCode.USAGE, "--capo"),
        (["--spelling", "x"], ExitCode.USAGE, "--spelling"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], status: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(GOLDEN / "song.lab"), "-", *arguments]) == status
    assert words in capfd.readouterr().err
