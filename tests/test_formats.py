from __future__ import annotations

import json
import os
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from chordtool import plugins
from chordtool.errors import FormatError, UsageError
from chordtool.formats import (
    GROUP,
    Format,
    FormatOptions,
    format_for_path,
    load_format,
    read_transcription,
    render,
)
from chordtool.formats.text import clean, title_of
from chordtool.segments import Segment, Transcription
from tests.songs import SONG

OURS = [p.name for p in plugins.names(GROUP).values() if p.distribution == plugins.OURSELVES]
NASTY = {
    "latin-1 bytes": os.fsdecode("café".encode("latin-1")),
    "shift-jis bytes": os.fsdecode("歌".encode("shift-jis")),
    "utf-8": "夜に駆ける ♪",
    "line break": "two\nlines\r\nand\u2028more",
    "script": "</script><script>alert(1)</script>",
    "comment": "<!-- --> ]]>",
    "directive": "x} {title: y [Am] %{z}",
    "formula": "=cmd|' /C calc'!A0",
    "direction": "\u202egnos\u2066",
    "control": "a\x00b\x1b[31mc\x7f",
    "half a pair": "\ud83d alone",
    "long": "x" * 5000,
}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package with a format: its module is the given source, ``FORMAT`` the format."""

    def install(name: str, source: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}_module:FORMAT\n")
        (tmp_path / f"{name}_module.py").write_text(source)

    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield install
    for name in set(sys.modules) - before:
        if name.endswith("_module"):
            del sys.modules[name]


@pytest.mark.parametrize("name", OURS)
def test_a_format_is_registered_under_its_own_name(name: str) -> None:
    assert load_format(name).name == name


@pytest.mark.parametrize("name", OURS)
def test_what_a_format_writes_is_chosen_by_its_suffixes(name: str) -> None:
    for suffix in load_format(name).suffixes:
        assert format_for_path(Path(f"a.b/My Song{suffix.upper()}")).name == name


def test_no_two_formats_share_a_suffix() -> None:
    suffixes = [suffix for name in OURS for suffix in load_format(name).suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_a_file_that_is_only_a_suffix_has_no_format() -> None:
    with pytest.raises(UsageError):
        format_for_path(Path(".lab"))


def test_an_unknown_suffix_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        format_for_path(Path("song.xyz"))
    assert ".lab" in caught.value.hint
    assert "--format" in caught.value.hint


def test_an_unknown_format_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        load_format("jam")
    assert "Did you mean jams?" in caught.value.hint
    assert "chordpro" in caught.value.hint


@pytest.mark.parametrize("kind", NASTY)
@pytest.mark.parametrize("name", OURS)
def test_any_title_can_be_written(name: str, kind: str) -> None:
    song = replace(SONG, source=f"dir/{NASTY[kind]}.mp3", metadata={"artist": NASTY[kind]})
    data = render(song, name, FormatOptions())
    if name != "midi":
        text = data.decode("utf-8")
        assert "\x00" not in text
        assert "\x1b" not in text
        # Nothing of the title is taken for a line of its own.
        plain = render(replace(song, source="a", metadata={"artist": "a"}), name, FormatOptions())
        assert len(text.splitlines()) == len(plain.decode("utf-8").splitlines())


@pytest.mark.parametrize("name", ["json", "jsonl"])
@pytest.mark.parametrize(
    "source", ["My  Song .mp3", " a", "x" * 400 + "/a.mp3", "a\nb", "a\x9b31m\u2028\u202eb"]
)
def test_programs_find_the_recording_by_the_path_that_was_given(name: str, source: str) -> None:
    data = render(replace(SONG, source=source), name, FormatOptions())
    assert json.loads(data)["source"] == source
    plain = render(replace(SONG, source="a"), name, FormatOptions())
    assert len(data.decode().splitlines()) == len(plain.decode().splitlines())
    assert "\x9b" not in data.decode()


def test_a_path_that_is_no_text_is_marked_as_such() -> None:
    data = render(replace(SONG, source="caf\udce9.mp3"), "json", FormatOptions())
    assert json.loads(data)["source"] == "caf\ufffd.mp3"


def test_a_title_does_not_end_its_chordpro_directive() -> None:
    song = replace(SONG, metadata={}, source="")
    written = render(song, "chordpro", FormatOptions(title=NASTY["directive"])).decode()
    assert written.splitlines()[0] == "{title: x) (title: y [Am] %(z)}"


def test_a_title_does_not_end_its_lrc_tag() -> None:
    song = replace(SONG, metadata={}, source="")
    written = render(song, "lrc", FormatOptions(title="a] [00:01.00]b")).decode()
    assert written.splitlines()[0] == "[ti:a) (00:01.00)b]"


def test_a_spreadsheet_finds_no_formula_in_csv() -> None:
    song = Transcription((Segment(0.0, 1.0, "=1+1"),), 1.0)
    assert render(song, "csv", FormatOptions()).splitlines()[1].split(b",")[2] == b"'=1+1"


@pytest.mark.parametrize(
    ("options", "song", "title"),
    [
        (FormatOptions(title="Mine"), SONG, "Mine"),
        (FormatOptions(), SONG, "Late Train"),
        (FormatOptions(), replace(SONG, metadata={}), "Late Train"),
        (FormatOptions(), replace(SONG, metadata={"title": " \n"}, source="-"), "Untitled"),
    ],
)
def test_the_title_is_the_callers_or_the_tags_or_the_files(
    options: FormatOptions, song: Transcription, title: str
) -> None:
    assert title_of(song, options) == title


def test_cleaning_keeps_every_script_and_marks_what_was_no_text() -> None:
    assert clean("Ünïcödé 夜 🎸") == "Ünïcödé 夜 🎸"
    assert clean(NASTY["latin-1 bytes"]) == "caf\ufffd"


@pytest.mark.parametrize("name", OURS)
def test_a_recording_without_samples_can_be_written(name: str) -> None:
    assert isinstance(render(Transcription((), 0.0), name, FormatOptions()), bytes)


@pytest.mark.parametrize("name", OURS)
def test_a_recording_without_chords_can_be_written(name: str) -> None:
    silence = Transcription((Segment(0.0, 3.0, "N"),), 3.0, beats=(0.5, 1.0), downbeats=(0.5,))
    assert isinstance(render(silence, name, FormatOptions()), bytes)


@pytest.mark.parametrize("name", OURS)
def test_labels_that_only_people_write_can_be_written(name: str) -> None:
    labels = ("C:9/3", "Emin/4", "D:maj(*3,4)", "Bb:(1,5)", "F#:sus4(b7)", "G:5", "A:m7b5")
    segments = tuple(Segment(float(n), n + 1.0, label) for n, label in enumerate(labels))
    assert render(Transcription(segments, 7.0), name, FormatOptions(spelling="key"))


@pytest.mark.parametrize("name", OURS)
def test_an_hour_of_chords_is_written_in_a_blink(name: str) -> None:
    """No format looks at the whole song again for each of its chords."""
    segments = tuple(Segment(float(n), n + 1.0, "C" if n % 2 else "G") for n in range(3600))
    beats = tuple(float(n) for n in range(3600))
    song = Transcription(segments, 3600.0, beats=beats, downbeats=beats[::4])
    assert len(render(song, name, FormatOptions(spelling="flats"))) > 3600


def test_spelling_is_the_formats_own_unless_asked_for() -> None:
    song = replace(SONG, segments=SONG.segments[1:2], beats=(), downbeats=())
    assert b"A#\n" in render(song, "lab", FormatOptions())
    assert b"Bb\n" in render(song, "lab", FormatOptions(spelling="flats"))
    assert b"Bb\n" in render(song, "lab", FormatOptions(spelling="key"))
    assert b"Bb\n" in render(song, "srt", FormatOptions())
    assert b"A#\n" in render(song, "srt", FormatOptions(spelling="sharps"))


@pytest.mark.parametrize(("top", "count"), [(0, 0), (2, 2), (9, 3)])
def test_no_more_alternatives_are_shown_than_asked_for(top: int, count: int) -> None:
    import json

    options = FormatOptions(top=top)
    document = json.loads(render(SONG, "json", options))
    assert len(document["segments"][1]["alternatives"]) == count
    found = json.loads(render(SONG, "jams", options))
    assert len(found["annotations"][0]["sandbox"]["alternatives"][1]) == count


def test_a_format_of_another_package_is_used(plugin) -> None:
    plugin(
        "shout",
        "from chordtool.formats import Format\n"
        "def write(transcription, options):\n"
        "    return ' '.join(s.label for s in transcription.segments).upper().encode()\n"
        "FORMAT = Format('shout', ('.shout.txt',), 'loud', write)\n",
    )
    assert render(SONG, "shout", FormatOptions()).startswith(b"N A# D:MIN7")
    assert format_for_path(Path("song.shout.txt")).name == "shout"
    assert format_for_path(Path("song.txt")).name == "chart"


def test_a_format_of_another_package_does_not_take_a_suffix_of_ours(plugin) -> None:
    plugin(
        "thief",
        "from chordtool.formats import Format\n"
        "FORMAT = Format('thief', ('.lab',), '', lambda t, o: b'mine')\n",
    )
    assert format_for_path(Path("song.lab")).name == "lab"


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('no ink')", "return 'text'", "raise SystemExit(3)"]
)
def test_a_format_that_fails_is_named_and_the_others_are_unharmed(plugin, body: str) -> None:
    plugin(
        "broken",
        "from chordtool.formats import Format\n"
        f"def write(transcription, options):\n    {body}\n"
        "FORMAT = Format('broken', ('.broken',), '', write)\n",
    )
    with pytest.raises(FormatError, match="'broken'"):
        render(SONG, "broken", FormatOptions())
    assert render(SONG, "lab", FormatOptions())


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module",
        "FORMAT = 'not a format'",
        "from chordtool.formats import Format\nFORMAT = Format('broken', (), '', print)",
        "from chordtool.formats import Format\nFORMAT = Format('broken', 'lab', '', print)",
    ],
)
def test_a_format_that_cannot_be_used_harms_no_other(plugin, source: str) -> None:
    plugin("broken", source)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert format_for_path(Path("song.lab")).name == "lab"
        with pytest.raises(UsageError, match="package broken"):
            load_format("broken")
    assert all(issubclass(w.category, plugins.PluginWarning) for w in said)


def test_reading_with_a_plug_in_that_fails_names_it(plugin, tmp_path: Path) -> None:
    plugin(
        "deaf",
        "from chordtool.formats import Format\n"
        "FORMAT = Format('deaf', ('.deaf',), '', lambda t, o: b'', read=lambda data: 1 / 0)\n",
    )
    file = tmp_path / "song.deaf"
    file.write_bytes(b"")
    with pytest.raises(FormatError, match="'deaf' failed: ZeroDivisionError"):
        read_transcription(file)


@pytest.mark.parametrize("suffix", ["LAB", ".LAB", ".", ".a/b", ".a\\b", ".a\0b"])
def test_a_format_says_itself_that_its_suffixes_are_wrong(suffix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(suffix))):
        Format("x", (suffix,), "", lambda t, o: b"")


def test_the_reference_lists_the_formats_with_their_suffixes_and_spelling() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "formats.md"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    flat = replace(SONG, segments=SONG.segments[1:2], beats=(), downbeats=())
    stated = {name.strip("`"): cells for name, *cells in rows}
    assert sorted(stated) == sorted(OURS)
    for name, (suffixes, spelling, chords, read) in stated.items():
        found = load_format(name)
        assert tuple(suffixes.replace("`", "").split()) == found.suffixes
        assert (read == "yes") == (found.read is not None)
        as_key = render(flat, name, FormatOptions(spelling="key"))
        assert (render(flat, name, FormatOptions()) == as_key) == (spelling == "key")
        minor = replace(flat, segments=(Segment(0.0, 1.0, "A:min"),))
        assert (b"A:min" not in render(minor, name, FormatOptions())) == (chords == "symbol")
