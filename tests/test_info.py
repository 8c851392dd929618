from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool import cli
from chordtool.errors import ExitCode


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Half a second at half of full scale, 48 kHz stereo, flac, with a title."""
    path = tmp_path / "tone.flac"
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 48_000)
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        file.title = "A \x1b[31m tone"
        file.write(np.stack([samples, samples], axis=1))
    return path


def test_info_tells_what_was_decoded(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(tone), "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["seconds"] == 0.5
    assert shown["sample_rate"] == 48_000
    assert shown["channels"] == 2
    assert shown["container"] == "FLAC"
    assert shown["decoder"] == "libsndfile"
    assert shown["peak_dbfs"] == pytest.approx(-6.0, abs=0.2)


def test_people_are_told_with_units(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(tone)]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert {"length: 0:00 (0.5 s)", "sample rate: 48000 Hz", "channels: 2"} <= set(lines)
    assert any(line.startswith("loudest sample: -6") and line.endswith("dBFS") for line in lines)


def test_a_title_cannot_paint_the_terminal(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(tone)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "tone" in shown
    assert "\x1b[31m" not in shown


def test_silence_has_no_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(100), 8_000)
    assert cli.run(["info", str(path), "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["peak_dbfs"] is None


def test_what_is_no_audio_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.mp3"
    path.write_text("la la la")
    assert cli.run(["info", str(path)]) == ExitCode.SOME_FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")


def test_a_folder_is_no_recording_whatever_is_in_it(
    tone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["info", str(tone.parent)]) == ExitCode.SOME_FAILED
    said = capsys.readouterr().err
    assert "is a folder." in said
    assert "without" not in said
