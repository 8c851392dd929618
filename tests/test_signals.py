from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from chordtool import audio
from chordtool.audio.mono import Limits
from chordtool.audio.signals import open_signals
from chordtool.errors import AudioError

RATES = (22_050, 44_100)


def open_files() -> int:
    return psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(size=(3 * 48_000 + 7, 2)) * 0.1
    soundfile.write(path, noise, 48_000)
    return path


@pytest.mark.parametrize("memory_samples", [1 << 25, 10_000, 0], ids=["memory", "both", "disk"])
def test_each_rate_has_the_samples_that_loading_gives(song: Path, memory_samples: int) -> None:
    with open_signals(song, RATES, memory_samples=memory_samples) as signals:
        for rate in RATES:
            whole = audio.load(song, rate)
            assert signals.seconds == whole.seconds
            assert signals.length(rate) == len(whole.samples)
            assert np.array_equal(signals.read(rate), whole.samples)
            assert np.array_equal(signals.read(rate, 5000, 9000), whole.samples[5000:9000])
            assert np.array_equal(signals.read(rate, -10), whole.samples[-10:])
            assert len(signals.read(rate, 9000, 5000)) == 0


def test_a_long_recording_waits_on_disk_and_leaves_nothing_there(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    before = open_files()
    with open_signals(song, RATES, memory_samples=1000) as signals:
        signals.read(22_050)
    assert list(spool.iterdir()) == []
    after = open_files()
    assert after == before


def test_no_room_for_a_temporary_file_is_one_sentence(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with (
        pytest.raises(AudioError, match="No space left") as caught,
        open_signals(song, RATES, memory_samples=1000),
    ):
        pass
    assert "TMPDIR" in caught.value.hint


def test_limits_hold(song: Path) -> None:
    with pytest.raises(AudioError), open_signals(song, RATES, limits=Limits(seconds=1)):
        pass


@pytest.mark.parametrize("content", [b"", b"no audio" * 99])
def test_what_is_no_audio_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError), open_signals(path, RATES):
        pass
