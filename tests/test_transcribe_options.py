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


def test_a_beat_tracker_that_would_not_be_asked_is_misuse(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert transcribe("--beat-tracker", "metronome") == ExitCode.USAGE
    assert "--beats" in capfd.readouterr().err
    monkeypatch.setenv("CHORDTOOL_TRANSCRIBE_BEAT_TRACKER", "metronome")
    assert transcribe() == ExitCode.OK


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


def test_a_dash_is_standard_output_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert transcribe("-o", "-", "-f", "csv") == ExitCode.OK
    assert capfd.readouterr().out.startswith("start,end,label")
    assert not (tmp_path / "-").exists()


def test_a_recording_is_never_written_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    for name in ("one.mp3", "two.lab"):  # a recording may be called anything
        (songs / name).write_bytes(Path(CLIP).read_bytes())
    link = tmp_path / "one.csv"
    link.hardlink_to(songs / "one.mp3")
    for sources, target in (
        (["one.mp3"], str(songs / "one.mp3")),
        (["one.mp3"], str(link)),
        (["one.mp3", "two.lab"], f"{songs}/"),
    ):
        given = [str(songs / name) for name in sources]
        options = ["-m", "template", "-f", "lab", "--overwrite", "-j", "1"]
        assert run(["transcribe", *given, "-o", target, *options]) == ExitCode.SOME_FAILED
        assert "is one of the recordings" in capfd.readouterr().err
    assert (songs / "one.lab").read_text().startswith("0.000")
    for name in ("one.mp3", "two.lab"):
        assert (songs / name).read_bytes() == Path(CLIP).read_bytes()


def test_only_the_formats_that_are_missing_are_added(tmp_path: Path) -> None:
    (tmp_path / "clip.lab").write_text("corrected by hand")
    options = ["-f", "lab", "-f", "csv", "--skip-existing"]
    assert transcribe("-o", f"{tmp_path}/", *options) == ExitCode.OK
    assert (tmp_path / "clip.lab").read_text() == "corrected by hand"
    assert (tmp_path / "clip.csv").read_text().startswith("start,end")


@pytest.mark.parametrize(
    ("setting", "flag"), [("SKIP_EXISTING", "overwrite"), ("OVERWRITE", "skip-existing")]
)
def test_a_flag_wins_over_a_setting_that_contradicts_it(
    setting: str, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.lab").write_text("corrected by hand")
    monkeypatch.setenv(f"CHORDTOOL_TRANSCRIBE_{setting}", "1")
    assert transcribe("-o", f"{tmp_path}/", f"--{flag}") == ExitCode.OK
    kept = (tmp_path / "clip.lab").read_text() == "corrected by hand"
    assert kept == (flag == "skip-existing")


def test_quiet_and_verbose_contradict_each_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert transcribe("-o", f"{tmp_path}/", "-q", "-v") == ExitCode.USAGE
    assert "--quiet and --verbose contradict each other" in capfd.readouterr().err
    assert not (tmp_path / "clip.lab").exists()


@pytest.mark.parametrize(("setting", "flag"), [("VERBOSE", "-q"), ("QUIET", "-v")])
def test_names_are_printed_as_the_flag_says_whatever_the_settings_say(
    setting: str,
    flag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"CHORDTOOL_TRANSCRIBE_{setting}", "1")
    assert transcribe("-o", f"{tmp_path}/", flag) == ExitCode.OK
    assert ("clip.mp3" in capfd.readouterr().err) == (flag == "-v")


def test_formats_of_the_settings_give_way_to_the_suffix_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHORDTOOL_TRANSCRIBE_FORMAT", "csv json")
    assert transcribe("-o", str(tmp_path / "clip.lrc")) == ExitCode.OK
    assert (tmp_path / "clip.lrc").read_text().startswith("[ti:")
    assert transcribe("-o", str(tmp_path / "clip.srt"), "-f", "lab") == ExitCode.OK
    assert (tmp_path / "clip.srt").read_text().startswith("0.000"), "a flag is a flag"
    assert transcribe("-o", f"{tmp_path}/many/") == ExitCode.OK
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["clip.csv", "clip.json"]
    assert transcribe() == ExitCode.OK
    assert capfd.readouterr().out.startswith("start,end,label"), "the first of them"


def test_a_terminal_is_spared_what_is_no_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lab = str(EXAMPLES / "clip.lab")
    for command in (["transcribe", CLIP, "-m", "template"], ["convert", lab, "-"]):
        assert run([*command, "-f", "midi"]) == ExitCode.USAGE
        shown = capfd.readouterr()
        assert shown.out == ""
        assert "midi is no text" in shown.err
        assert run([*command, "-f", "csv"]) == ExitCode.OK
        capfd.readouterr()
