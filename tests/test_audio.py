from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from chordtool.audio import Limits, load
from chordtool.errors import AudioError
from tests.clips import CODECS, SECONDS, encode, music

RATE = 22_050


def lag_seconds(samples: np.ndarray, reference: np.ndarray, rate: int) -> float:
    """By how much the samples are late."""
    n = 1 << int(np.ceil(np.log2(len(samples) + len(reference))))
    product = np.fft.rfft(samples, n) * np.conj(np.fft.rfft(reference, n))
    lag = int(np.fft.irfft(product, n).argmax())
    return (lag - n if lag > n // 2 else lag) / rate


# -- codecs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", CODECS)
def test_every_codec_starts_and_ends_where_the_music_does(clips: Path, suffix: str) -> None:
    audio = load(clips / f"clip.{suffix}", RATE)
    reference = soxr.resample(music(SECONDS, 44_100).mean(axis=1), 44_100, RATE)
    # Raw AAC and mp3 in avi have nowhere to tell their encoder's delay: a packet at most.
    within = 0.05 if suffix in ("aac", "avi") else 0.001
    assert abs(lag_seconds(audio.samples, reference, RATE)) <= within
    assert audio.seconds == pytest.approx(SECONDS, abs=within)
    assert len(audio.samples) == pytest.approx(audio.seconds * RATE, abs=1)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "alac.m4a", "aiff"])
def test_lossless_codecs_give_the_samples_back(clips: Path, suffix: str) -> None:
    audio = load(clips / f"clip.{suffix}", 44_100)
    np.testing.assert_allclose(
        audio.samples, music(SECONDS, 44_100).mean(axis=1), rtol=0, atol=1e-4
    )


def test_common_codecs_go_through_libsndfile_and_the_rest_through_ffmpeg(clips: Path) -> None:
    used = {suffix: load(clips / f"clip.{suffix}", RATE).facts.decoder for suffix in CODECS}
    common = ("wav", "flac", "mp3", "ogg", "aiff")
    assert used == {s: "libsndfile" if s in common else "ffmpeg" for s in CODECS}


def test_facts_describe_the_source(tmp_path: Path) -> None:
    tags = {"title": "Night\x1b[31m and\nday", "artist": "Nobody"}
    for suffix, decoder in (("mp3", "libsndfile"), ("m4a", "ffmpeg")):
        path = encode(tmp_path / f"a.{suffix}", music(0.5, 48_000), 48_000, *CODECS[suffix], tags)
        facts = load(path, RATE).facts
        assert (facts.sample_rate, facts.channels, facts.decoder) == (48_000, 2, decoder)
        assert (facts.title, facts.artist) == ("Night [31m and day", "Nobody")
        assert facts.codec
        assert facts.container


def test_both_decoders_agree_where_both_can_read(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chordtool.audio import loading

    for suffix in ("mp3", "ogg", "opus", "flac"):
        with monkeypatch.context() as patched:
            patched.setattr(loading, "_decode_with_ffmpeg", loading._decode_with_libsndfile)
            ours = load(clips / f"clip.{suffix}", RATE)
        with monkeypatch.context() as patched:
            patched.setattr(loading, "_decode_with_libsndfile", loading._decode_with_ffmpeg)
            theirs = load(clips / f"clip.{suffix}", RATE)
        assert (ours.facts.decoder, theirs.facts.decoder) == ("libsndfile", "ffmpeg")
        assert theirs.seconds == pytest.approx(ours.seconds, abs=1e-9)
        np.testing.assert_allclose(theirs.samples, ours.samples, rtol=0, atol=1e-3)


def test_several_streams_in_one_ogg_are_all_heard(clips: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "a.ogg", tmp_path / "b.ogg"]
    for seed, part in enumerate(parts):
        encode(part, music(12.0, 44_100, seed=seed), 44_100, *CODECS["ogg"])
    chained = tmp_path / "chained.ogg"
    chained.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert load(chained, RATE).seconds == pytest.approx(24.0, abs=0.02)


def test_the_sound_of_a_film_is_found(tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        sound = output.add_stream("aac", rate=44_100, layout="mono")
        for _ in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            output.mux(video.encode(frame))
        for start in range(0, 44_032, 1024):
            tone = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)
            piece = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            piece.sample_rate = 44_100
            output.mux(sound.encode(piece))
        for stream in (video, sound):
            output.mux(stream.encode(None))
    audio = load(path, RATE)
    assert audio.seconds == pytest.approx(44_032 / 44_100, abs=0.03)
    assert np.abs(audio.samples).max() > 0.5


# -- rates, channels, levels ----------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_056, 48_000, 96_000, 192_000])
def test_a_tone_keeps_its_pitch_and_level_at_any_rate(tmp_path: Path, rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    audio = load(tmp_path / "a.wav", RATE)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert audio.seconds == 1.0
    assert len(audio.samples) == RATE
    np.testing.assert_allclose(audio.samples[500:-500], expected[500:-500], rtol=0, atol=2e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 64])
def test_mono_is_the_mean_of_the_channels(tmp_path: Path, channels: int) -> None:
    samples = music(0.3, RATE, channels)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    audio = load(tmp_path / "a.wav", RATE)
    assert audio.facts.channels == channels
    np.testing.assert_allclose(audio.samples, samples.mean(axis=1), rtol=0, atol=1e-6)


def test_resampling_in_blocks_gives_what_resampling_at_once_gives(tmp_path: Path) -> None:
    samples = music(20.0, 44_100, 1)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    at_once = soxr.resample(samples[:, 0], 44_100, RATE)
    in_blocks = load(tmp_path / "a.wav", RATE).samples
    np.testing.assert_allclose(in_blocks, at_once, rtol=0, atol=1e-5)


def test_broken_samples_are_silence(tmp_path: Path) -> None:
    samples = music(0.5, RATE, 2)
    samples[100] = np.nan
    samples[200, 0] = np.inf
    samples[300] = -np.inf
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    clean = np.where(np.isfinite(samples), samples, 0).mean(axis=1)
    samples = load(tmp_path / "a.wav", RATE).samples
    np.testing.assert_allclose(samples, clean, rtol=0, atol=1e-6)


def test_samples_without_bounds_stay_finite(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(9_000, 3e38), 44_100, subtype="FLOAT")
    assert np.isfinite(load(tmp_path / "a.wav", RATE).samples).all()


def test_a_recording_without_a_finite_sample_is_an_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(9_000, np.nan), 44_100, subtype="FLOAT")
    with pytest.raises(AudioError, match="no finite sample"):
        load(tmp_path / "a.wav", RATE)


def test_silence_is_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((44_100, 2)), 44_100)
    assert not load(tmp_path / "a.wav", RATE).samples.any()


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 192_000])
def test_a_single_sample_is_a_recording(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), rate)
    audio = load(tmp_path / "a.wav", RATE)
    assert len(audio.samples) >= 1
    assert audio.seconds == 1 / rate


# -- streams --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "opus"])
def test_a_stream_gives_what_its_file_gives(clips: Path, suffix: str) -> None:
    path = clips / f"clip.{suffix}"
    streamed = load(io.BytesIO(path.read_bytes()), RATE)
    assert np.array_equal(streamed.samples, load(path, RATE).samples)


def test_a_dash_is_standard_input(clips: Path) -> None:
    code = (
        "from pathlib import Path; from chordtool.audio import load;"
        f"print(load(Path('-'), {RATE}).seconds)"
    )
    data = (clips / "clip.mp3").read_bytes()
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert float(done.stdout) == pytest.approx(SECONDS, abs=0.001)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_read_like_a_file(clips: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(
        target=lambda: pipe.write_bytes((clips / "clip.m4a").read_bytes()), daemon=True
    )
    writer.start()
    assert load(pipe, RATE).seconds == pytest.approx(SECONDS, abs=0.001)
    writer.join(10)


def test_an_endless_stream_is_an_error() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"\0" * size

    with pytest.raises(AudioError, match="more than"):
        load(Endless(), RATE, limits=Limits(stream_bytes=1 << 22))  # type: ignore[arg-type]


def test_a_stream_that_breaks_is_an_error() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(AudioError, match="Input/output error"):
        load(Broken(), RATE)  # type: ignore[arg-type]


# -- cost -----------------------------------------------------------------------------------


def test_nothing_heavy_is_imported_for_common_codecs(clips: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from chordtool.audio import load;"
        f"load(Path(sys.argv[1]), {RATE});"
        "print(*({m.split('.')[0] for m in sys.modules}"
        " & {'av', 'scipy', 'librosa', 'torch', 'audioread'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, clips / "clip.mp3"], capture_output=True, check=True, text=True
    )
    assert done.stdout.split() == []


# -- real files -----------------------------------------------------------------------------


def test_a_file_that_libsndfile_rejects_is_played(shared: Path) -> None:
    path = shared / "audio/unlabelled/M_A_R_S___02_orphanage_166ba4.opus"
    if not path.exists():
        pytest.skip("this recording is not here")
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.SoundFile(path)
    audio = load(path, RATE)
    assert audio.facts.decoder == "ffmpeg"
    assert audio.seconds > 10
