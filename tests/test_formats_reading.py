from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chordtool.errors import ChordtoolError, FormatError, LabelError
from chordtool.formats import FormatOptions, read_segments, read_transcription, reading, render
from chordtool.formats.jams import read_jams
from chordtool.formats.json_document import read_json
from chordtool.formats.lab import read_lab
from chordtool.segments import Alternative, Segment, Transcription
from chordtool.vocabulary import LARGE
from tests.songs import SONG

GOLDEN = Path(__file__).parent / "golden"
JSON = json.loads((GOLDEN / "song.json").read_bytes())
JAMS = json.loads((GOLDEN / "song.jams").read_bytes())

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["C:maj", "N", "chord", 1, 2.5]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def transcriptions(draw: st.DrawFn) -> Transcription:
    lengths = draw(st.lists(st.integers(1, 10**7), max_size=12))
    edges = [0]
    for length in lengths:
        edges.append(edges[-1] + length)
    chance = st.integers(0, 10**6).map(lambda n: n / 10**6)
    alternative = st.builds(Alternative, st.sampled_from(LARGE), chance)
    segments = tuple(
        Segment(
            start / 10**6,
            end / 10**6,
            draw(st.sampled_from(LARGE)),
            draw(chance),
            tuple(draw(st.lists(alternative, max_size=3))),
        )
        for start, end in pairwise(edges)
    )
    return Transcription(segments, edges[-1] / 10**6)


@settings(max_examples=40, deadline=None)
@given(transcriptions())
def test_json_comes_back_as_it_was(song: Transcription) -> None:
    assert read_json(render(song, "json", FormatOptions())) == song


@settings(max_examples=40, deadline=None)
@given(transcriptions())
def test_jams_comes_back_as_it_was(song: Transcription) -> None:
    found = read_jams(render(song, "jams", FormatOptions()))
    assert found.segments == song.segments
    assert found.seconds == song.seconds


@settings(max_examples=40, deadline=None)
@given(transcriptions())
def test_lab_comes_back_to_the_millisecond(song: Transcription) -> None:
    found = read_lab(render(song, "lab", FormatOptions()))
    kept = [s for s in song.segments if f"{s.start:.3f}" != f"{s.end:.3f}"]
    assert [s.label for s in found.segments] == [s.label for s in kept]
    for read, written in zip(found.segments, kept, strict=True):
        assert read.end == pytest.approx(written.end, abs=6e-4)
    assert all(a.end == b.start for a, b in pairwise(found.segments))


def test_everything_but_the_sources_place_survives_json() -> None:
    assert read_transcription(GOLDEN / "song.json") == SONG


def test_beats_survive_jams() -> None:
    found = read_transcription(GOLDEN / "song.jams")
    assert (found.beats, found.downbeats) == (SONG.beats, SONG.downbeats)


def test_an_older_jams_file_with_columns_is_read() -> None:
    (chords,) = [a for a in JAMS["annotations"] if a["namespace"] == "chord"]
    names = ("time", "duration", "value", "confidence")
    columns = {name: [o[name] for o in chords["data"]] for name in names}
    document = {**JAMS, "annotations": [{**chords, "data": columns}]}
    assert read_jams(json.dumps(document).encode()).segments == SONG.segments


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.lab", "0 1 C\n", ["C"]),
        ("a.txt", "0 1 C\n", ["C"]),
        ("a", "0 1 C\n", ["C"]),
        ("a.chords", "0 1 C\n", ["C"]),
        ("a.txt", json.dumps(JSON), [s.label for s in SONG.segments]),
        ("a.annotation", "\ufeff " + json.dumps(JAMS), [s.label for s in SONG.segments]),
    ],
)
def test_the_content_says_what_a_name_does_not(
    tmp_path: Path, name: str, content: str, labels: list[str]
) -> None:
    file = tmp_path / name
    file.write_text(content, "utf-8")
    assert [s.label for s in read_transcription(file).segments] == labels


@pytest.mark.parametrize("name", ["song.mp3", "song.lab", "song"])
def test_a_recording_is_not_taken_for_a_broken_label_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes((Path(__file__).parents[1] / "examples" / "clip.mp3").read_bytes())
    with pytest.raises(FormatError, match="holds no text") as caught:
        read_transcription(file)
    assert "chordtool transcribe" in caught.value.hint


GAPPY_JAMS = {
    "annotations": [
        {
            "namespace": "chord",
            "data": [
                {"time": 10.0, "duration": 10.0, "value": "C"},
                {"time": 25.0, "duration": 5.0, "value": "G"},
            ],
        }
    ],
    "file_metadata": {"duration": 60.0},
}
GAPPY_JSON = {
    **JSON, "seconds": 60.0, "beats": [], "downbeats": [],
    "segments": [
        {"start": 10.0, "end": 20.0, "label": "C"}, {"start": 25.0, "end": 30.0, "label": "G"},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("song.lab", "10 20 C\n20 20 A\n25 30 G\n"),
        ("song.jams", json.dumps(GAPPY_JAMS)),
        ("song.json", json.dumps(GAPPY_JSON)),
    ],
)
def test_what_a_file_does_not_label_is_no_segment(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    assert read_segments(file) == (Segment(10, 20, "C"), Segment(25, 30, "G"))
    assert [s.label for s in read_transcription(file).segments][:4] == ["N", "C", "N", "G"]


def test_a_format_that_cannot_be_read_back_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.mid"
    file.write_bytes(b"MThd")
    with pytest.raises(FormatError, match="midi files") as caught:
        read_transcription(file)
    assert "lab, json, jams" in caught.value.hint


def test_an_error_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.lab"
    file.write_text("0 1 H:maj\n")
    with pytest.raises(LabelError, match=r"a\.lab: 'H:maj'"):
        read_transcription(file)


@pytest.mark.parametrize("name", ["missing.lab", "."])
def test_what_cannot_be_opened_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        read_transcription(tmp_path / name)


def test_a_huge_file_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chordtool.formats.MAX_BYTES", 100)
    file = tmp_path / "a.lab"
    file.write_text("# comment\n" * 20)
    with pytest.raises(FormatError, match="larger"):
        read_transcription(file)


def test_gaps_are_no_chord_and_a_rounded_overlap_is_mended() -> None:
    found = read_lab(b"1.0 2.001 C\n# then\n\n2.0\t3\tG\n")
    assert [(s.start, s.end, s.label) for s in found.segments] == [
        (0.0, 1.0, "N"),
        (1.0, 2.001, "C"),
        (2.001, 3.0, "G"),
    ]
    found = read_lab(b"0 1 C\n4 5 G\n")
    assert [s.label for s in found.segments] == ["C", "N", "G"]


def test_a_label_file_with_windows_line_ends_and_a_mark_is_read() -> None:
    assert read_lab("\ufeff0\t1\tC\r\n1\t2\tG\r\n".encode()).seconds == 2.0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("song.lab", "0 1 N.C.\n1 2 C \n2 3 NC\n"),
        ("song.jams", '{"annotations": [{"namespace": "chord", "data": ['
            '{"time": 0, "duration": 1, "value": "N.C."},'
            '{"time": 1, "duration": 1, "value": "C\\n"},'
            '{"time": 2, "duration": 1, "value": "NC"}]}]}'),
        ("song.json", json.dumps(GAPPY_JSON | {"seconds": 3, "segments": [
            {"start": 0, "end": 1, "label": "N.C."}, {"start": 1, "end": 2, "label": "C\n"},
            {"start": 2, "end": 3, "label": "NC", "alternatives": []}]})),
    ],
)  # fmt: skip
def test_no_chord_is_read_however_it_is_written(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    found = read_transcription(file)
    assert [s.label for s in found.segments] == ["N", "C", "N"]
    # A caption shows nothing where there is no chord.
    assert b"N.C." not in render(found, "srt", FormatOptions())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("name", "content"), [("a.lab", "0 1 C\r\n"), ("a.txt", json.dumps(JSON))])
def test_what_powershell_sends_to_a_file_is_read(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    file = tmp_path / name
    file.write_bytes(f"\ufeff{content}".encode(encoding))
    plain = tmp_path / f"plain-{name}"
    plain.write_bytes(content.encode())
    assert read_transcription(file) == read_transcription(plain)
    assert read_segments(file) == read_segments(plain)


@pytest.mark.parametrize(
    "text",
    [
        "0 1\n", "zero one C\n", "1 0 C\n", "-1 1 C\n", "nan 1 C\n", "0 inf C\n", "0 1e300 C\n",
        "0 2 C\n1 3 G\n", "\x00\x01\n", "0 1 C\n0 1 C\n", "0 0 C\n2.5 2.5 G\n",
    ],
)  # fmt: skip
def test_a_broken_label_file_is_an_error(text: str) -> None:
    with pytest.raises(FormatError):
        read_lab(text.encode())


def mutate(path: str, value: Any) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
        for step in way:
            document = document[step]
        document[last] = value

    return apply


@pytest.mark.parametrize(
    "change",
    [
        mutate("version", 2),
        mutate("version", True),
        mutate("kind", "something"),
        mutate("seconds", "long"),
        mutate("seconds", 10**400),
        mutate("seconds", -1),
        mutate("vocabulary", "tiny"),
        mutate("segments", {}),
        mutate("segments.0", []),
        mutate("segments.0.start", None),
        mutate("segments.0.end", True),
        mutate("segments.1.start", 0.5),
        mutate("segments.1.confidence", 2),
        mutate("segments.1.alternatives", "C"),
        mutate("segments.1.alternatives.0", None),
        mutate("segments.1.alternatives.0.confidence", None),
        mutate("beats", [1, 1]),
        mutate("beats", ["a"]),
        mutate("downbeats", [0.123]),
        mutate("metadata", {"title": 1}),
        mutate("model", 3),
    ],
)
def test_a_broken_document_is_an_error(change: Callable[[Any], None]) -> None:
    document = json.loads(json.dumps(JSON))
    change(document)
    with pytest.raises(FormatError):
        read_json(json.dumps(document).encode())


@pytest.mark.parametrize(
    "change",
    [
        mutate("annotations", None),
        mutate("annotations", []),
        mutate("annotations.0.data", 3),
        mutate("annotations.0.data", {"time": [0], "duration": [], "value": [], "confidence": []}),
        mutate("annotations.0.data.0", 1),
        mutate("annotations.0.data.0.time", -1),
        mutate("annotations.0.data.0.duration", "x"),
        mutate("annotations.0.data.0.value", 5),
        mutate("annotations.0.data.0.confidence", 7),
        mutate("file_metadata", []),
        mutate("file_metadata.duration", "x"),
        mutate("annotations.1.data.0.time", None),
    ],
)
def test_a_broken_jams_file_is_an_error(change: Callable[[Any], None]) -> None:
    document = json.loads(json.dumps(JAMS))
    change(document)
    with pytest.raises(FormatError):
        read_jams(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"[Infinity]",
        b"1" * 5000, b"null", b"[]", b'"x"', b'{"kind": "chordtool-transcription"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [read_json, read_jams])
def test_what_is_no_document_is_an_error(
    read: Callable[[bytes], Transcription], data: bytes
) -> None:
    with pytest.raises(FormatError):
        read(data)


def test_a_number_that_is_none_is_an_error() -> None:
    text = json.dumps(JSON).replace('"seconds": 17.1875', '"seconds": 1e999')
    with pytest.raises(FormatError, match="length"):
        read_json(text.encode())


def test_more_segments_than_any_recording_has_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("reading", "json_document", "jams", "lab"):
        monkeypatch.setattr(f"chordtool.formats.{module}.MAX_SEGMENTS", 3)
    for read, name in ((read_json, "json"), (read_jams, "jams"), (read_lab, "lab")):
        with pytest.raises(FormatError, match="more than 3 segments"):
            read((GOLDEN / f"song.{name}").read_bytes())
    # Lines beyond are not even looked at.
    with pytest.raises(FormatError, match="more than 3 segments"):
        read_lab(b"0 0 C\n" * 4 + b"nothing\n")
    assert reading.MAX_SEGMENTS == 3


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_a_transcription_or_an_error(data: bytes) -> None:
    for read in (read_lab, read_json, read_jams):
        try:
            found = read(data)
        except ChordtoolError:
            continue
        assert all(s.start < s.end for s in found.segments)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_document_with_anything_anywhere_is_a_transcription_or_an_error(
    data: st.DataObject,
) -> None:
    original = data.draw(st.sampled_from([JSON, JAMS]))
    document = json.loads(json.dumps(original))
    here = document
    while isinstance(here, dict | list) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(here[key], dict | list):
            here[key] = data.draw(anything)
            break
        here = here[key]
    text = json.dumps(document).encode()
    try:
        found = read_json(text) if original is JSON else read_jams(text)
    except ChordtoolError:
        return
    edges = [0.0, *(s.end for s in found.segments)]
    assert [s.start for s in found.segments] == edges[:-1]
    assert all(math.isfinite(e) for e in edges)
