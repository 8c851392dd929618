"""What ``chordtool transcribe`` passes on to formats and beat trackers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chordtool.cli import run
from chordtool.errors import ExitCode

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLIP = str(EXAMPLES / "clip.mp3")
TRACKERS = """
from chordtool.beats import Beats, BeatTracker

def tick(samples, rate):
    times = tuple(0.5 * n for n in range(int(2 * len(samples) / rate)))
    return Beats(times, times[1::3])

def fail(samples, rate):
    raise RuntimeError("out of time")

METRONOME = BeatTracker("metronome", "beats every half a second, three a bar", "MIT", tick)
BROKEN = BeatTracker("broken", "fails", "MIT", fail)
"""


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A quick model and two beat trackers, installed as packages are."""
    site = tmp_path / "site"
    info = site / "extras-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extras\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[chordtool.models]\ntemplate = chordtool_template:load\n"
        "[chordtool.beats]\nmetronome = extra_trackers:METRONOME\nbroken = extra_trackers:BROKEN\n"
    )
    (site / "extra_trackers.py").write_text(TRACKERS)
    monkeypatch.syspath_prepend(EXAMPLES / "chordtool-template")
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("extra_trackers", None)


def transcribe(*options: str) -> int:
    return run(["transcribe", CLIP, "--model", "template", *options])


def test_changes_fall_on_beats_and_charts_have_the_trackers_bars(tmp_path: Path) -> None:
    options = ["--beats", "--beat-tracker", "metronome", "-f", "json", "-f", "chart"]
    assert transcribe(*options, "-o", f"{tmp_path}/") == ExitCode.OK
    song = json.loads((tmp_path / "clip.json").read_bytes())
    changes = [s["start"] for s in song["segments"]]
    assert len(changes) > 3
    assert set(changes) <= {0.5 * n for n in range(40)}
    assert song["downbeats"][:2] == [0.5, 2.0]
    bars = (tmp_path / "clip.txt").read_text("utf-8").split("|")
    assert [len(bar.split()) for bar in bars[2:4]] == [3, 3]


def test_beats_are_off_unless_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    assert transcribe("-f", "json") == ExitCode.OK
    assert json.loads(capfd.readouterr().out)["beats"] == []


def test_a_beat_tracker_that_fails_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--beats", "--beat-tracker", "broken") == ExitCode.SOME_FAILED
    assert "'broken' failed: RuntimeError: out of time" in capfd.readouterr().err


def test_an_unknown_beat_tracker_is_misuse(capfd: pytest.CaptureFixture[str]) -> None:
    assert transcribe("--beats", "--beat-tracker", "metronom") == ExitCode.USAGE
    assert "Did you mean metronome?" in capfd.readouterr().err


def test_formats_hear_of_spelling_and_of_the_number_of_alternatives(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert transcribe("-f", "json", "--top", "1", "--spelling", "flats") == ExitCode.OK
    song = json.loads(capfd.readouterr().out)
    assert {len(s["alternatives"]) for s in song["segments"]} == {1}
    assert "#" not in json.dumps(song["segments"])


def test_the_page_links_to_the_recording_or_holds_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert transcribe("-o", str(tmp_path / "linked.html")) == ExitCode.OK
    assert 'clip.mp3">' in (tmp_path / "linked.html").read_text("utf-8")
    assert transcribe("-o", str(tmp_path / "whole.html"), "--embed-audio") == ExitCode.OK
    assert 'src="data:audio/mpeg;base64,' in (tmp_path / "whole.html").read_text("utf-8")
    assert transcribe("-f", "html") == ExitCode.OK
    assert 'clip.mp3">' in capfd.readouterr().out
