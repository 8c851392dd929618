from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from clips import CODECS, encode, music

from chordtool.audio import AUDIO_SUFFIXES, Limits, find_audio, load
from chordtool.errors import AudioError, UsageError

RATE = 22_050
SECONDS = 4.321


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One piece of music in every codec."""
    folder = tmp_path_factory.mktemp("clips")
    samples = music(SECONDS, 44_100)
    for suffix, (container, codec) in CODECS.items():
        encode(folder / f"clip.{suffix}", samples, 44_100, container, codec)
    return folder


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
        "import resource, sys; from pathlib import Path; from chordtool.audio import load\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"a = load(Path(sys.argv[1]), {RATE})\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(a.seconds, grown / 1024 - a.samples.nbytes / 2**20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, check=True, text=True
    )
    path.unlink()
    length, overhead_mib = map(float, done.stdout.split())
    assert length == seconds
    assert overhead_mib < 30


# -- bad input ------------------------------------------------------------------------------


def assert_a_clear_error(path: Path) -> None:
    with pytest.raises(AudioError) as raised:
        load(path, RATE)
    assert raised.value.hint
    assert "\n" not in raised.value.message
    raised.value.message.encode("utf-8")


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    assert_a_clear_error(tmp_path / "missing.mp3")
    assert_a_clear_error(tmp_path)
    assert_a_clear_error(Path("a\0b.mp3"))
    (tmp_path / "dangling.mp3").symlink_to(tmp_path / "gone.mp3")
    assert_a_clear_error(tmp_path / "dangling.mp3")


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


# -- finding --------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name in (
        "b.mp3",
        "a.WAV",
        "cover.jpg",
        ".hidden.mp3",
        "disc 2/c.flac",
        "disc 2/deep/d.opus",
        ".trash/e.mp3",
        "notes/readme.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(found: list[Path], top: Path) -> list[str]:
    return [path.relative_to(top).as_posix() for path in found]


def test_a_folder_stands_for_the_recordings_below_it(library: Path) -> None:
    expected = ["a.WAV", "b.mp3", "disc 2/c.flac", "disc 2/deep/d.opus"]
    assert names(find_audio([library]), library) == expected


def test_a_loop_of_links_ends(library: Path) -> None:
    (library / "disc 2" / "up").symlink_to(library)
    (library / "disc 2" / "here").symlink_to(".")
    assert len(find_audio([library])) == 4


def test_links_out_of_a_folder_are_followed(
    library: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "z.mp3").touch()
    (library / "link").symlink_to(elsewhere)
    assert names(find_audio([library]), library)[-1] == "link/z.mp3"


def test_patterns_are_expanded(library: Path) -> None:
    assert names(find_audio([f"{library}/*.mp3"]), library) == ["b.mp3"]
    assert names(find_audio([f"{library}/**/*.opus"]), library) == ["disc 2/deep/d.opus"]
    assert names(find_audio([f"{library}/disc*"]), library) == [
        "disc 2/c.flac",
        "disc 2/deep/d.opus",
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(library: Path) -> None:
    (library / "what [live].mp3").touch()
    assert names(find_audio([library / "what [live].mp3"]), library) == ["what [live].mp3"]


def test_a_named_file_is_taken_whatever_its_suffix(library: Path) -> None:
    assert names(find_audio([library / "cover.jpg", library / ".hidden.mp3"]), library) == [
        "cover.jpg",
        ".hidden.mp3",
    ]


def test_each_recording_comes_once_in_the_order_given(library: Path) -> None:
    found = find_audio([library / "b.mp3", library, str(library / "a.WAV"), "-"])
    assert names(found[:2], library) == ["b.mp3", "a.WAV"]
    assert len(found) == 5
    assert found[-1] == Path("-")


def test_what_is_missing_stays_unless_the_caller_is_strict(library: Path) -> None:
    for missing in (library / "no.mp3", library / "notes", f"{library}/*.xyz"):
        assert find_audio([missing]) == [Path(missing)]
        assert_a_clear_error(Path(missing))
        with pytest.raises(AudioError, match="no recording"):
            find_audio([library, missing], strict=True)


def test_no_paths_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        find_audio([])


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".mp4", ".webm"} <= AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)


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
