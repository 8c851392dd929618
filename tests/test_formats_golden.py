"""Every format against a golden file, and the golden file against a tool of the format's own world.

``CHORDTOOL_UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import bz2
import csv
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import chordsketch
import jams
import jsonschema
import mido
import mir_eval
import numpy as np
import pretty_midi
import pylrc
import pytest
import soundfile
import srt

from chordtool import plugins
from chordtool.beats import bars_of
from chordtool.formats import GROUP, FormatOptions, load_format, render
from chordtool.formats.jams import read_jams
from chordtool.formats.json_document import read_json
from chordtool.formats.midi import notes_of
from chordtool.segments import Segment, Transcription
from chordtool.vocabulary import LARGE
from tests.songs import SONG

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path(__file__).parents[1] / "docs" / "reference" / "transcription.schema.json"
NAMES = [p.name for p in plugins.names(GROUP).values() if p.distribution == plugins.OURSELVES]
STARTS = [s.start for s in SONG.segments]
LABELS = [s.label for s in SONG.segments]
SYMBOLS = [
    "N.C.", "Bb", "Dm7", "Ebmaj7", "Fsus4", "F7", "Bb/D", "Edim7", "F", "?", "Bb6",
]  # fmt: skip


def golden(name: str) -> Path:
    return GOLDEN / f"song{load_format(name).suffixes[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_file_is_what_is_written_today(name: str) -> None:
    written = render(SONG, name, FormatOptions())
    if os.environ.get("CHORDTOOL_UPDATE_GOLDEN"):
        golden(name).write_bytes(written)
    assert written == golden(name).read_bytes()


def test_lab_is_read_by_mir_eval() -> None:
    intervals, labels = mir_eval.io.load_labeled_intervals(str(golden("lab")))
    assert labels == LABELS
    assert intervals[:, 0].tolist() == pytest.approx(STARTS, abs=5e-4)
    mir_eval.chord.encode_many(labels)


def test_a_chord_too_short_for_a_formats_clock_is_left_out() -> None:
    """mir_eval refuses intervals without length; players show lines of one time together."""
    song = Transcription(
        (Segment(0.0, 2.0, "C"), Segment(2.0, 2.0003, "G"), Segment(2.0003, 4.0, "F")), 4.0
    )
    lines = render(song, "lab", FormatOptions()).decode()
    intervals, labels = mir_eval.io.load_labeled_intervals(io.StringIO(lines))
    assert intervals.tolist() == [[0.0, 2.0], [2.0, 4.0]]
    assert labels == ["C", "F"]
    times = [line.time for line in pylrc.parse(render(song, "lrc", FormatOptions()).decode())]
    assert times == [0.0, 2.0, 4.0]


def test_json_keeps_its_schema() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(golden("json").read_bytes()))


def test_the_example_of_the_reference_keeps_the_schema_and_can_be_read() -> None:
    page = (SCHEMA.parent / "formats.md").read_text("utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(example))
    assert read_json(example.encode()).metadata == {"title": "Song"}


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    document = json.loads(golden("json").read_bytes())
    document["segments"][0]["confidence"] = 1.5
    assert not validator.is_valid(document)


def test_jsonl_is_one_line_with_the_document_of_json() -> None:
    line, end = golden("jsonl").read_bytes().split(b"\n")
    assert end == b""
    assert json.loads(line) == json.loads(golden("json").read_bytes())


def test_csv_is_read_by_the_csv_module() -> None:
    rows = list(csv.DictReader(io.StringIO(golden("csv").read_text("utf-8"), newline="")))
    assert [row["label"] for row in rows] == LABELS
    assert [float(row["start"]) for row in rows] == STARTS
    assert [float(row["confidence"]) for row in rows] == [s.confidence for s in SONG.segments]


def test_jams_is_read_and_validated_by_jams() -> None:
    found = jams.load(str(golden("jams")), validate=True, strict=True)
    (chords,) = found.search(namespace="chord")
    assert [o.value for o in chords] == LABELS
    assert [o.confidence for o in chords] == [s.confidence for s in SONG.segments]
    assert chords.sandbox.alternatives[1][0] == {"label": "G:min", "confidence": 0.05}
    assert found.file_metadata.title == "Late Train"
    (beats,) = found.search(namespace="beat")
    assert [o.value for o in beats][:6] == [1, 2, 3, 4, 1, 2]
    (key,) = found.search(namespace="key_mode")
    assert key.data[0].value == "Bb:major"


def test_jams_has_labels_of_its_namespace_that_lose_no_bass_and_no_tone() -> None:
    written = ["Emin/4", "A7/3", "C:m7b5", "C:6(9)", "C:minmaj9/b3", "C/b#3", "C:aug7"]
    segments = tuple(Segment(float(n), n + 1.0, label) for n, label in enumerate(written))
    text = render(Transcription(segments, 7.0), "jams", FormatOptions()).decode()
    (chords,) = jams.load(io.StringIO(text), validate=True, strict=True).search(namespace="chord")
    assert [o.value for o in chords] == [
        "E:min/4", "A:7/3", "C:hdim7", "C:maj6(9)", "C:minmaj7/b3", "C/3", "C:aug7",
    ]  # fmt: skip
    assert [s.label for s in read_jams(text.encode()).segments] == [o.value for o in chords]


def test_midi_is_read_by_pretty_midi() -> None:
    found = pretty_midi.PrettyMIDI(str(golden("midi")))
    assert found.get_tempo_changes()[1].tolist() == [120.0]
    (piano,) = found.instruments
    for segment in SONG.segments:
        middle = (segment.start + segment.end) / 2
        sounding = sorted(n.pitch for n in piano.notes if n.start <= middle < n.end)
        assert sounding == sorted(notes_of(segment.label))
        pitch_classes = np.zeros(12)
        pitch_classes[[n % 12 for n in sounding]] = 1
        root, bitmap, _ = mir_eval.chord.encode(segment.label, reduce_extended_chords=True)
        if root >= 0 and bitmap.min() >= 0:
            assert pitch_classes.tolist() == np.roll(bitmap, root).tolist()
    assert found.get_end_time() == pytest.approx(SONG.seconds, abs=1e-3)


def test_midi_markers_are_read_by_mido() -> None:
    found = mido.MidiFile(golden("midi"))
    seconds, markers = 0.0, []
    for message in found.tracks[0]:
        seconds += mido.tick2second(message.time, found.ticks_per_beat, 500_000)
        if message.type == "marker":
            markers.append((seconds, message.text))
    assert [text for _, text in markers] == SYMBOLS
    assert [at for at, _ in markers] == pytest.approx(STARTS, abs=1e-3)


def test_an_audacity_label_track_is_read_as_tab_separated_intervals() -> None:
    intervals, labels = mir_eval.io.load_labeled_intervals(str(golden("audacity")), delimiter=r"\t")
    assert labels == LABELS
    assert intervals[:, 0].tolist() == STARTS


def test_a_sonic_visualiser_layer_is_xml_with_a_text_model() -> None:
    root = ElementTree.parse(golden("sonic-visualiser")).getroot()
    model, layer = root.find("data/model"), root.find("display/layer")
    assert model is not None
    assert layer is not None
    assert model.get("subtype") == layer.get("type") == "text"
    assert model.get("id") == layer.get("model")
    rate = int(model.get("sampleRate") or 0)
    points = root.findall("data/dataset/point")
    assert [p.get("label") for p in points] == LABELS
    assert [int(p.get("frame") or 0) / rate for p in points] == pytest.approx(STARTS, abs=1e-4)


@pytest.mark.skipif(
    shutil.which("sonic-visualiser") is None, reason="sonic-visualiser is not installed"
)
def test_sonic_visualiser_opens_its_layer_and_keeps_the_chords(tmp_path: Path) -> None:
    audio, session, script = (tmp_path / name for name in ("song.wav", "song.sv", "script.txt"))
    soundfile.write(audio, np.zeros(round(44100 * SONG.seconds), np.float32), 44100)
    lines = (f'/open "{audio}"', "1", f'/open "{golden("sonic-visualiser")}"', "1")
    script.write_text("\n".join((*lines, f'/save "{session}"', "/quit", "")))
    # What it asks at its first start, whether it may use the network, must not wait for an answer.
    program = ["sonic-visualiser", "--no-splash", "--no-audio"]
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    asked = subprocess.run(
        [*program, "--version"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    settings = tmp_path / "sonic-visualiser" / "Sonic Visualiser.conf"
    settings.parent.mkdir(exist_ok=True)
    version = asked.stdout.split()[-1]  # "Sonic Visualiser 4.5.1"
    settings.write_text(f"[Preferences]\nnetwork-permission-{version}=false\n")
    done = subprocess.run(
        [*program, "--osc-script", str(script)],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert session.is_file(), done.stdout + done.stderr
    kept = ElementTree.fromstring(bz2.decompress(session.read_bytes()))
    points = kept.findall("data/dataset/point")
    assert [p.get("label") for p in points] == LABELS
    assert [int(p.get("frame") or 0) / 44100 for p in points] == pytest.approx(STARTS, abs=1e-4)


def test_chordpro_is_read_by_a_chordpro_program() -> None:
    text = golden("chordpro").read_text("utf-8")
    assert chordsketch.validate(text) == []
    rendered = chordsketch.parse_and_render_text(text, None, 0)
    assert "Late Train" in rendered
    assert all(symbol in rendered for symbol in SYMBOLS if symbol not in ("?", "N.C."))


@pytest.mark.parametrize(("beats", "shape"), [(3, ""), (4, ""), (6, ": 4x6")])
def test_the_grid_of_chordpro_has_room_for_the_beats(beats: int, shape: str) -> None:
    times = tuple(float(n) for n in range(8 * beats))
    song = Transcription(
        (Segment(0.0, 48.0, "C"),),
        48.0,
        beats=times,
        downbeats=times[::beats],
    )
    text = render(song, "chordpro", FormatOptions()).decode()
    assert f"{{start_of_grid{shape}}}" in text.splitlines()
    assert chordsketch.validate(text) == []


@pytest.mark.parametrize("beats", [(), (0.0, 1.0, 2.0, 3.0)])
def test_chordpro_names_no_chord_that_its_program_cannot_transpose(beats: tuple[float]) -> None:
    """It takes no brackets in a name, and leaves what it does not know where it is."""
    segments = tuple(Segment(float(n), n + 1.0, label) for n, label in enumerate(LARGE))
    song = Transcription(segments, 170.0, beats=beats, downbeats=beats[:1])
    text = render(song, "chordpro", FormatOptions()).decode()
    assert "(" not in text
    written = ("C:minmaj9", "C:minmaj7/b3", "D:maj(9)", "E:7(#9)", "G:sus4(b7)", "A:maj(*3)")
    labels = tuple(Segment(float(n), n + 1.0, label) for n, label in enumerate(written))
    text = render(Transcription(labels, 6.0), "chordpro", FormatOptions()).decode()
    assert "[Cmmaj9] [Cmmaj7/Eb] [Dadd9] [E7#9]\n[G7sus4] [A(no3)]" in text


def test_a_chart_has_every_bar() -> None:
    text = golden("chart").read_text("utf-8")
    lines = [line for line in text.splitlines() if "|" in line]
    bars = [bar.split() for line in lines for bar in line.split("|")[1:-1]]
    assert len(bars) == len(bars_of(SONG))
    assert bars[:4] == [
        ["Bb", ".", ".", "."],
        ["Dm7", ".", ".", "."],
        ["Ebmaj7", ".", ".", "."],
        ["Fsus4", ".", "F7", "."],
    ]


def test_srt_is_read_by_an_srt_parser() -> None:
    captions = list(srt.parse(golden("srt").read_text("utf-8"), ignore_errors=False))
    assert [c.content for c in captions] == SYMBOLS[1:]
    assert [c.start.total_seconds() for c in captions] == STARTS[1:]


def test_lrc_is_read_by_an_lrc_parser() -> None:
    lyrics = pylrc.parse(golden("lrc").read_text("utf-8"))
    assert [line.text for line in lyrics] == ["", *SYMBOLS[1:], ""]
    assert [line.time for line in lyrics][:-1] == pytest.approx(STARTS, abs=0.01)
    assert (lyrics.title, lyrics.artist) == ("Late Train", "The Examples & Söhne")


class _Page(HTMLParser):
    """What of a page its parser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.song = ""
        self.ids: list[str] = []
        self.void = {"meta", "input", "br", "link", "img"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(str(attributes["id"]))
        if tag not in self.void:
            self.open.append(str(attributes.get("id") or tag))

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "song":
            self.song += data


def test_html_is_well_formed_and_holds_the_song() -> None:
    page = _Page()
    page.feed(golden("html").read_text("utf-8"))
    page.close()
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    song = json.loads(page.song)
    names = [song["chords"][chord]["names"] for _, _, chord, _, _ in song["segments"]]
    assert [by_shift[0] for by_shift in names] == SYMBOLS
    assert [by_shift[2] for by_shift in names][1:5] == ["C", "Em7", "Fmaj7", "Gsus4"]
