from __future__ import annotations

from dataclasses import replace

import pytest

from chordtool.formats import FormatOptions, load_format, render
from chordtool.formats.json_document import read_json
from tests.songs import SONG


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_beats_that_rounding_makes_equal_are_written_once(name: str) -> None:
    song = replace(SONG, beats=(1.0, 1.0000003, 2.0, 2.0, 3.0), downbeats=(1.0, 1.0000003, 2.0))
    found = read_json(render(song, name, FormatOptions()))
    assert (found.beats, found.downbeats) == ((1.0, 2.0, 3.0), (1.0, 2.0))


@pytest.mark.parametrize("name", ["json", "jams"])
def test_a_beat_beyond_the_end_makes_no_bar(name: str) -> None:
    late = replace(SONG, beats=(*SONG.beats, 50.0), downbeats=(*SONG.downbeats, 50.0))
    found = load_format(name).read(render(late, name, FormatOptions()))
    assert (found.beats, found.downbeats) == (SONG.beats, SONG.downbeats)
