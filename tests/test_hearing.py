"""Decoding and hearing at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from chordtool import audio, hearing
from chordtool.audio import libsndfile, loading
from chordtool.audio.loading import Decoder
from chordtool.audio.mono import MonoSignal, SourceFacts
from chordtool.errors import AudioError
from chordtool.hearing import UnderWay, _Flow, ahead, hear, load
from chordtool.models.onnx import OnnxModel
from tests.tiny_student import tiny_student


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(5).normal(0, 0.1, (44_100 * 20, 2))
    soundfile.write(path, noise, 44_100)
    return path


def test_a_recording_begun_ahead_is_heard_to_the_bit_as_one_that_is_not(song: Path) -> None:
    model = OnnxModel(tiny_student())
    heard = hear(model, song)
    with ahead([str(song)]) as begun:
        assert begun is not None
        early = hear(model, begun)
    assert np.array_equal(early.logits, heard.logits)
    assert early.seconds == heard.seconds == 20.0
    whole = audio.load(song, model.card.front_end.sample_rate)
    assert np.array_equal(heard.logits, model.logits(model.features(whole.samples)))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_decoder_that_is_ahead_waits_and_changes_nothing(
    song: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hear(OnnxModel(tiny_student()), song)
    monkeypatch.setattr(hearing, "MOST_QUEUED", 10_000)
    monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", 1 << 12)
    most = 0
    take = _Flow.take

    def watched(flow: _Flow) -> np.ndarray | None:
        nonlocal most
        most = max(most, flow._queued)
        return take(flow)

    monkeypatch.setattr(_Flow, "take", watched)
    found = hear(OnnxModel(tiny_student(), threads=threads), song)
    assert np.array_equal(found.logits, whole.logits)
    assert 10_000 < most < 20_000


def test_what_the_first_decoder_heard_counts_if_the_second_hears_less(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops_early(seconds: float, decode: Decoder) -> Decoder:
        def cut(file: BinaryIO, signal: MonoSignal) -> tuple[SourceFacts, bool]:
            facts, _ = decode(file, _Shortened(signal, seconds))
            return facts, False

        return cut

    usual = loading._decode_with_libsndfile
    for first, second in ((6.0, 3.0), (3.0, 6.0)):
        monkeypatch.setattr(loading, "_decode_with_libsndfile", stops_early(first, usual))
        monkeypatch.setattr(loading, "_decode_with_ffmpeg", stops_early(second, usual))
        model = OnnxModel(tiny_student())
        heard = hear(model, song)
        assert heard.seconds == pytest.approx(6.0, abs=0.01)
        samples = audio.load(song, model.card.front_end.sample_rate).samples
        assert np.array_equal(heard.logits, model.logits(model.features(samples)))


class _Shortened:
    """Passes on the first seconds of what a decoder says."""

    def __init__(self, signal: MonoSignal, seconds: float) -> None:
        self._signal = signal
        self._seconds = seconds

    def expect(self, frames: int, rate: int) -> None:
        self._signal.expect(frames, rate)

    def add(self, block: np.ndarray, rate: int) -> None:
        room = round(self._seconds * rate) - round(self._signal.seconds * rate)
        if room > 0:
            self._signal.add(block[:room], rate)


@pytest.mark.parametrize("sources", [[], ["-"], ["."], ["none.wav"], ["\0"], ["a.wav", "b.wav"]])
def test_only_what_is_plainly_one_file_is_begun(sources: list[str]) -> None:
    with ahead(sources) as begun:
        assert begun is None


def test_what_was_begun_at_another_rate_is_begun_again(song: Path) -> None:
    model = OnnxModel(tiny_student())
    begun = UnderWay(song, 8000)
    begun.start()
    found = hear(model, begun)
    assert not begun.is_alive()
    assert np.array_equal(found.logits, hear(model, song).logits)


def test_nobody_goes_on_decoding_what_nobody_hears(song: Path) -> None:
    with ahead([str(song)]) as begun:
        assert begun is not None
    assert not begun.is_alive()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals here")
def test_an_interruption_waits_for_the_decoder(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that still ran when the interpreter ended crashed it."""
    ended = threading.Event()
    usual = loading._decode_with_libsndfile

    def slow(file: BinaryIO, into: MonoSignal) -> tuple[SourceFacts, bool]:
        found = usual(file, into)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.5)
        ended.set()
        return found

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "_decode_with_libsndfile", slow)
    model = OnnxModel(tiny_student())
    model.prepare()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            hear(model, song)
        assert ended.is_set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_error_of_decoding_is_raised_where_the_recording_is_heard(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"this is not music")
    model = OnnxModel(tiny_student())
    with ahead([str(broken)]) as begun:
        assert begun is not None
        with pytest.raises(AudioError, match=r"broken\.mp3"):
            hear(model, begun)


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_a_model_that_wants_the_whole_recording_takes_the_one_under_way(
    song: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = audio.load(song, rate)
    decoded = []
    monkeypatch.setattr(audio, "load", lambda *a: decoded.append(a) or whole)
    with ahead([str(song)]) as begun:
        assert begun is not None
        found = load(begun, rate)
        assert not begun.is_alive()
    assert np.array_equal(found.samples, whole.samples)
    # What was begun at the wanted rate is not decoded again.
    assert len(decoded) == (rate != begun.sample_rate)


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be sent these signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_for_a_pipe_can_be_interrupted(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "chordtool", "transcribe", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        process.stdin.write(b"\0" * (1 << 21))  # no pipe holds so much: it has begun to read
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(60) == 130
        assert b"Interrupted." in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
