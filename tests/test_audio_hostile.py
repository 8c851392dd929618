"""Recordings that are too much, damaged, or none: bounded, and never more than an error."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool.audio import Limits, load
from chordtool.audio.loading import decode
from chordtool.audio.mono import MonoSignal
from chordtool.errors import AudioError
from tests.audio_errors import assert_a_clear_error
from tests.clips import CODECS, SECONDS, encode, music
from tests.memory import measured

RATE = 22_050


# -- limits ---------------------------------------------------------------------------------


def test_a_recording_beyond_a_limit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48_000, 4)), 48_000)
    for limits, what in (
        (Limits(seconds=0.5), "longer than"),
        (Limits(sample_rate=44_100), "48000 Hz"),
        (Limits(channels=2), "4 channels"),
        (Limits(decoded_bytes=1000), "too much data"),
    ):
        with pytest.raises(AudioError, match=what) as raised:
            load(path, RATE, limits=limits)
        assert raised.value.hint


def wav_header(claimed_bytes: int, rate: int = 8_000) -> bytes:
    fmt = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return b"".join(
        (b"RIFF", struct.pack("<I", 0xFFFFFFFF), b"WAVEfmt ", struct.pack("<I", 16), fmt)
    ) + struct.pack("<4sI", b"data", claimed_bytes)


def test_a_header_that_lies_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_header(4_000_000_000) + bytes(1000))
    assert load(tmp_path / "a.wav", RATE).seconds == 500 / 8_000

    encode(tmp_path / "b.flac", music(0.5, 44_100), 44_100, *CODECS["flac"])
    data = bytearray((tmp_path / "b.flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"  # 36 bits of STREAMINFO: 18 days
    (tmp_path / "b.flac").write_bytes(data)
    tracemalloc.start()
    try:
        assert load(tmp_path / "b.flac", RATE).seconds == pytest.approx(0.5, abs=1e-3)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_length_that_nobody_stated_is_no_claim(tmp_path: Path) -> None:
    """A FLAC file that was written to a pipe does not know how long it is."""
    path = encode(tmp_path / "a.flac", music(1.0, 44_100), 44_100, *CODECS["flac"])
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # 36 bits of STREAMINFO: unknown
    path.write_bytes(data)
    limits = Limits(seconds=30)
    assert len(data) > 1000 * limits.seconds, "large enough to hold more at a low rate"
    tries: list[MonoSignal] = []

    def make_signal(size: int, name: str) -> MonoSignal:
        tries.append(MonoSignal(RATE, limits, size, name))
        return tries[-1]

    signal, facts = decode(path, make_signal, limits)
    assert signal.seconds == 1.0
    assert facts.decoder == "libsndfile"
    assert len(tries) == 1


def test_a_claim_that_is_not_believed_refuses_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flac", music(1.0, 44_100), 44_100, *CODECS["flac"])
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert load(path, RATE, limits=Limits(seconds=30)).seconds == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_memory_holds_the_mono_signal_and_a_block(tmp_path: Path) -> None:
    """Two minutes of eight channels are 184 MB of float32; the signal is 11 MB."""
    path = tmp_path / "long.wav"
    rate, seconds, channels = 48_000, 120, 8
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_U8") as file:
        second = np.random.default_rng(0).uniform(-0.5, 0.5, (rate, channels))
        for _ in range(seconds):
            file.write(second)
    code = (
        "import sys; from pathlib import Path; from chordtool.audio import load\n"
        "before = peak_bytes()\n"
        f"a = load(Path(sys.argv[1]), {RATE})\n"
        "print(a.seconds, (peak_bytes() - before - a.samples.nbytes) / 2**20)"
    )
    done = measured(code, path)
    path.unlink()
    length, overhead_mib = map(float, done.stdout.split())
    assert length == seconds
    assert overhead_mib < 30


# -- bad input ------------------------------------------------------------------------------


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    assert_a_clear_error(tmp_path / "missing.mp3")
    assert_a_clear_error(tmp_path)
    assert_a_clear_error(Path("a\0b.mp3"))
    (tmp_path / "dangling.mp3").symlink_to(tmp_path / "gone.mp3")
    assert_a_clear_error(tmp_path / "dangling.mp3")


@pytest.mark.parametrize("name", ["song.lab", "song.jams", "Song.JSON"])
def test_a_file_of_chords_is_for_convert(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("0.000\t1.000\tC\n")
    with pytest.raises(AudioError, match="no audio") as raised:
        load(tmp_path / name, RATE)
    assert "chordtool convert" in raised.value.hint
    assert "music player" not in raised.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hi",
        b"Dear diary, this is no music.\n" * 300,
        b"OggS" + bytes(range(256)) * 20,
        b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(range(256)) * 4,
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(500),
        b"fLaC" + b"\xff" * 500,
        b"\x00\x00\x00\x20ftypM4A " + b"\xff" * 500,
        b"\x1aE\xdf\xa3" + b"\xff" * 500,
        bytes(100_000),
    ],
)
@pytest.mark.parametrize("name", ["song.mp3", "song.wav", "song.raw"])
def test_a_file_that_is_no_audio_is_an_error(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert_a_clear_error(tmp_path / name)


def test_a_recording_without_samples_is_an_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 44_100)
    assert_a_clear_error(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", "opus", "webm", "aac"])
def test_a_truncated_recording_gives_what_is_there(
    clips: Path, tmp_path: Path, suffix: str
) -> None:
    data = (clips / f"clip.{suffix}").read_bytes()
    path = tmp_path / f"half.{suffix}"
    path.write_bytes(data[: len(data) // 2])
    audio = load(path, RATE)
    assert 0.3 * SECONDS < audio.seconds < 0.7 * SECONDS
    whole = load(clips / f"clip.{suffix}", RATE).samples[: len(audio.samples)]
    head = slice(0, len(audio.samples) // 2)
    np.testing.assert_allclose(audio.samples[head], whole[head], rtol=0, atol=2e-3)


@pytest.mark.parametrize("suffix", CODECS)
def test_a_damaged_recording_never_fails_with_anything_but_an_audio_error(
    clips: Path, tmp_path: Path, suffix: str
) -> None:
    data = (clips / f"clip.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(8):
        damaged = bytearray(data[: rng.integers(20, len(data))])
        at = int(rng.integers(0, len(damaged) if trial % 2 else 200))
        damaged[at : at + 50] = rng.bytes(len(damaged[at : at + 50]))
        path = tmp_path / f"damaged.{suffix}"
        path.write_bytes(damaged)
        try:
            audio = load(path, RATE)
        except AudioError:
            continue
        assert np.isfinite(audio.samples).all()
        assert audio.seconds < 60


def test_a_playlist_opens_no_other_file(clips: Path, tmp_path: Path) -> None:
    song = clips / "clip.mp3"
    playlists = {
        "a.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{song}\n#EXT-X-ENDLIST\n",
        "b.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{song}\n#EXT-X-ENDLIST\n",
        "c.mp3": f"ffconcat version 1.0\nfile '{song}'\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        assert_a_clear_error(tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("suffix", ["mp3", "m4a"])
def test_a_name_that_is_not_utf8_can_be_read(clips: Path, tmp_path: Path, suffix: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe\xe9." + suffix.encode()))
    path.write_bytes((clips / f"clip.{suffix}").read_bytes())
    assert load(path, RATE).seconds == pytest.approx(SECONDS, abs=0.001)
    path.write_bytes(b"")
    assert_a_clear_error(path)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a"])
def test_a_file_that_is_cut_while_it_is_read_gives_what_is_there_or_an_error(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chordtool.audio.mono import MonoSignal

    path = encode(tmp_path / f"a.{suffix}", music(8.0, 44_100), 44_100, *CODECS[suffix])
    add = MonoSignal.add

    def cut_and_add(self: MonoSignal, block: np.ndarray, rate: int) -> None:
        if path.exists():
            os.truncate(path, 20_000)
            path.unlink()
        add(self, block, rate)

    monkeypatch.setattr(MonoSignal, "add", cut_and_add)
    try:
        audio = load(path, RATE)
    except AudioError:
        return
    assert 0 < audio.seconds <= 8.1
