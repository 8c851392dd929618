"""The Python API."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import chordtool
from chordtool.errors import AudioError, UsageError

CLIP = Path(__file__).resolve().parents[1] / "examples/clip.mp3"


@pytest.fixture(scope="module")
def song() -> chordtool.Transcription:
    return chordtool.transcribe(CLIP)


def test_a_file_may_be_named_or_opened(song: chordtool.Transcription) -> None:
    assert song.segments
    assert chordtool.transcribe(str(CLIP)) == song
    with CLIP.open("rb") as file:
        assert chordtool.transcribe(file).segments == song.segments


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_are_what_is_in_the_file(dtype: str, song: chordtool.Transcription) -> None:
    samples, rate = soundfile.read(CLIP, dtype=dtype)
    found = chordtool.transcribe(samples, sample_rate=rate)
    assert found.seconds == song.seconds
    assert [s.label for s in found.segments] == [s.label for s in song.segments]
    assert [s.start for s in found.segments] == [s.start for s in song.segments]


def test_samples_of_one_channel_need_no_second_dimension() -> None:
    tone = np.sin(np.arange(22_050) * 0.1)
    found = chordtool.transcribe(tone, sample_rate=22_050)
    assert found == chordtool.transcribe(tone[:, None], sample_rate=22_050)
    assert found.seconds == 1.0


def test_no_samples_have_no_chords() -> None:
    found = chordtool.transcribe(np.empty(0, np.float32), sample_rate=44_100)
    assert (found.segments, found.seconds) == ((), 0.0)


@pytest.mark.parametrize(
    ("samples", "rate", "error"),
    [
        (np.zeros(100), None, UsageError),
        (np.zeros(100, np.int16), 44_100, UsageError),
        (np.zeros(100, complex), 44_100, UsageError),
        (np.zeros((5, 5, 5)), 44_100, UsageError),
        (np.zeros(()), 44_100, UsageError),
        (np.zeros((2, 44_100)), 44_100, AudioError),
        (np.zeros((100, 0)), 44_100, UsageError),
        (np.zeros(100), 0, AudioError),
        (np.zeros(100), float("nan"), UsageError),
        (np.zeros(100), float("inf"), UsageError),
        pytest.param(np.zeros(100), 10**400, AudioError, id="huge"),
        pytest.param(np.zeros(100), -(10**5000), AudioError, id="beyond what can be shown"),
        (np.zeros(100), "44100", UsageError),
        (np.zeros(100), True, UsageError),
        (np.full(100, np.nan), 44_100, AudioError),
        (CLIP, 44_100, UsageError),
        ([0.0] * 100, 44_100, UsageError),
        (b"RIFF", None, UsageError),
        (io.StringIO("RIFF"), None, UsageError),
        (None, None, UsageError),
    ],
)
def test_samples_that_make_no_sense_are_an_error_with_a_hint(
    samples: Any, rate: Any, error: type[chordtool.ChordtoolError]
) -> None:
    with pytest.raises(error) as caught:
        chordtool.transcribe(samples, sample_rate=rate)
    assert caught.value.hint


def test_a_list_of_samples_is_not_said_to_lack_its_rate() -> None:
    with pytest.raises(UsageError, match="list"):
        chordtool.transcribe([0.0] * 100, sample_rate=44_100)  # type: ignore[arg-type]


def test_masked_samples_are_silent() -> None:
    tone = np.sin(np.arange(44_100) * 0.1)
    masked = np.ma.masked_array(tone, mask=np.arange(len(tone)) >= 22_050)
    silent = np.where(masked.mask, np.nan, tone)
    assert chordtool.transcribe(masked, sample_rate=44_100) == chordtool.transcribe(
        silent, sample_rate=44_100
    )


@pytest.fixture(scope="module")
def transcriber() -> chordtool.Transcriber:
    return chordtool.Transcriber()


@pytest.mark.parametrize("source", [b"RIFF", np.zeros(100, np.float32), None, 3])
def test_what_is_no_recording_is_misuse(transcriber: chordtool.Transcriber, source: Any) -> None:
    with pytest.raises(UsageError, match=type(source).__name__) as caught:
        transcriber.transcribe(source)
    assert caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_that_is_open_as_text_is_misuse(
    transcriber: chordtool.Transcriber, encoding: str
) -> None:
    with CLIP.open(encoding=encoding) as file, pytest.raises(UsageError, match="text") as caught:
        transcriber.transcribe(file)  # type: ignore[arg-type]
    assert '"rb"' in caught.value.hint


@pytest.mark.parametrize(
    "samples",
    [np.zeros((100, 2), np.float32), np.zeros(()), np.zeros(100, np.int16), [0.0] * 100, b"RIFF"],
)
def test_a_transcriber_takes_mono_samples_alone(
    transcriber: chordtool.Transcriber, samples: Any
) -> None:
    with pytest.raises(UsageError, match="samples") as caught:
        transcriber.transcribe_samples(samples)
    assert "chordtool.transcribe" in caught.value.hint


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_mono_samples_that_are_not_finite_are_misuse(
    transcriber: chordtool.Transcriber, number: float
) -> None:
    samples = np.zeros(30_000, np.float32)
    samples[7] = number
    with pytest.raises(UsageError, match="not finite") as caught:
        transcriber.transcribe_samples(samples)
    assert "chordtool.transcribe" in caught.value.hint


@pytest.mark.parametrize(
    "seconds", [-1, float("nan"), float("inf"), True, "3", pytest.param(10**400, id="huge")]
)
def test_a_length_that_makes_no_sense_is_misuse(
    transcriber: chordtool.Transcriber, seconds: Any
) -> None:
    with pytest.raises(UsageError, match="seconds") as caught:
        transcriber.transcribe_samples(np.zeros(100, np.float32), seconds)
    assert caught.value.hint


def test_a_length_may_be_one_of_numpys(transcriber: chordtool.Transcriber) -> None:
    found = transcriber.transcribe_samples(np.zeros(100, np.float32), np.float32(2))
    assert repr(found.seconds) == "2.0"


def test_fewer_alternatives_than_none_are_misuse() -> None:
    with pytest.raises(UsageError, match="-5 alternatives"):
        chordtool.Transcriber(top=-5)
