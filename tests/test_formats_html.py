"""What the page holds; ``test_page_in_browser.py`` tells whether it works."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chordtool.errors import FormatError
from chordtool.formats import FormatOptions, render
from chordtool.formats import html as page
from chordtool.formats.html import song_of
from chordtool.segments import Segment, Transcription
from chordtool.vocabulary import CHORD_TONES
from tests.songs import SONG

SHAPES = json.loads((Path(page.__file__).parent / "guitar.json").read_text("utf-8"))
TUNING = (40, 45, 50, 55, 59, 64)


def html(song: Transcription = SONG, **options: Any) -> str:
    return render(song, "html", FormatOptions(**options)).decode("utf-8")


def embedded(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="song">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def source(text: str) -> str:
    found = re.search(r'<audio id="audio" preload="auto" src="(.*?)">', text)
    assert found is not None
    return found[1]


def test_the_page_loads_nothing_from_anywhere() -> None:
    text = html()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert "@import" not in text
    assert "fetch(" not in text
    assert "default-src &#x27;none&#x27;" in text


def test_no_text_of_the_song_ends_an_element() -> None:
    nasty = '</script><script>alert(1)</script><!--"&'
    song = replace(SONG, source="x", metadata={"title": nasty, "artist": nasty})
    text = html(song)
    assert text.count("<script") == html().count("<script")
    assert "&lt;/script&gt;" in text
    assert "alert(1)</script>" not in text
    weird = Transcription((Segment(0.0, 1.0, "C"),), 1.0, metadata={"title": "a\u2028$song"})
    assert "a $song" in html(weird)


def test_every_transposition_has_names_in_its_own_key() -> None:
    song = song_of(SONG, FormatOptions())
    assert song["keys"][0] == "Bb major"
    assert song["keys"][4] == "D major"
    names = song["chords"][song["segments"][3][2]]["names"]
    assert (names[0], names[1], names[2], names[4]) == ("Ebmaj7", "Emaj7", "Fmaj7", "Gmaj7")
    assert all(len(c["names"]) == len(c["notes"]) == 12 for c in song["chords"])


def test_a_wanted_spelling_holds_in_every_transposition() -> None:
    song = song_of(SONG, FormatOptions(spelling="sharps"))
    assert not any("b" in name[1:2] for c in song["chords"] for name in c["names"])


def test_only_the_likeliest_alternatives_are_there() -> None:
    assert [len(s[4]) for s in song_of(SONG, FormatOptions(top=1))["segments"]][:3] == [1, 1, 1]
    assert len(song_of(SONG, FormatOptions(top=3))["segments"][1][4]) == 3


def test_a_song_without_beats_has_no_bars() -> None:
    assert song_of(replace(SONG, beats=(), downbeats=()), FormatOptions())["bars"] == []
    assert len(song_of(SONG, FormatOptions())["bars"]) == 8


def test_the_recording_is_linked_from_where_the_page_is(tmp_path: Path) -> None:
    audio, target = tmp_path / "music" / "a b#ü.mp3", tmp_path / "pages" / "a.html"
    assert source(html(audio=audio, target=target)) == "../music/a%20b%23%C3%BC.mp3"
    beside = tmp_path / "pages" / "take: one.wav"
    assert source(html(audio=beside, target=target)) == "./take%3A%20one.wav".replace("./", "")
    assert source(html()) == ""
    assert source(html(audio=Path("-"))) == ""


def test_a_file_name_that_is_no_text_can_be_linked(tmp_path: Path) -> None:
    audio = tmp_path / "caf\udce9.mp3"
    assert source(html(audio=audio, target=tmp_path / "a.html")) == "caf%E9.mp3"


def test_the_recording_is_embedded_byte_for_byte(tmp_path: Path) -> None:
    audio = tmp_path / "a.flac"
    audio.write_bytes(bytes(range(256)))
    kind, data = source(html(audio=audio, embed_audio=True)).split(",")
    assert kind == "data:audio/flac;base64"
    assert base64.b64decode(data) == bytes(range(256))


def test_a_recording_that_cannot_be_embedded_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        html(audio=tmp_path / "missing.mp3", embed_audio=True)
    audio = tmp_path / "a.wav"
    audio.write_bytes(bytes(100))
    monkeypatch.setattr(page, "MAX_EMBEDDED_BYTES", 99)
    # A device says that it holds nothing, and never ends.
    for large in (audio, Path("/dev/zero")):
        with pytest.raises(FormatError, match="too large"):
            html(audio=large, embed_audio=True)


def test_the_licence_of_the_shapes_travels_with_the_page() -> None:
    assert "Copyright (c) 2016 David Rubert" in html()


@pytest.mark.parametrize("quality", CHORD_TONES)
def test_every_guitar_shape_sounds_its_chord_from_the_root_and_fits_a_hand(quality: str) -> None:
    chord = set(CHORD_TONES[quality])
    for root, shapes in enumerate(SHAPES[quality]):
        assert 2 <= len(shapes) <= 3
        for shape in shapes:
            frets, fingers = (
                [-1 if c == "x" else int(c, 36) for c in word] for word in shape.split()
            )
            notes = [t + f for t, f in zip(TUNING, frets, strict=True) if f >= 0]
            tones = {(note - root) % 12 for note in notes}
            assert len(notes) >= 4
            assert (notes[0] - root) % 12 == 0
            assert tones <= chord
            assert chord - tones <= ({7} if len(chord) == 4 else set())
            stopped = [f for f in frets if f > 0]
            assert max(stopped) - min(stopped) <= 4
            assert all((n > 0) <= (f > 0) for f, n in zip(frets, fingers, strict=True))
            assert max(fingers) <= 4


@pytest.mark.parametrize(
    ("quality", "root", "shape"),
    [
        ("maj", 0, "x32010"), ("maj", 2, "xx0232"), ("maj", 4, "022100"), ("maj", 5, "133211"),
        ("maj", 7, "320003"), ("maj", 9, "x02220"), ("maj", 11, "x24442"), ("min", 9, "x02210"),
        ("min", 4, "022000"), ("min", 2, "xx0231"), ("7", 7, "320001"), ("maj7", 0, "x32000"),
    ],
)  # fmt: skip
def test_the_first_shape_is_the_one_that_everybody_learns_first(
    quality: str, root: int, shape: str
) -> None:
    assert SHAPES[quality][root][0].split()[0] == shape
