"""Decoding and hearing at the same time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool import audio
from chordtool.errors import AudioError
from chordtool.hearing import UnderWay, ahead, hear, load
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
    recording, logits = hear(model, song)
    with ahead([str(song)]) as begun:
        assert begun is not None
        early, early_logits = hear(model, begun)
    assert np.array_equal(early.samples, recording.samples)
    assert np.array_equal(early_logits, logits)
    assert early.seconds == recording.seconds


@pytest.mark.parametrize("sources", [[], ["-"], ["."], ["none.wav"], ["\0"], ["a.wav", "b.wav"]])
def test_only_what_is_plainly_one_file_is_begun(sources: list[str]) -> None:
    with ahead(sources) as begun:
        assert begun is None


def test_what_was_begun_at_another_rate_is_begun_again(song: Path) -> None:
    model = OnnxModel(tiny_student())
    begun = UnderWay(song, 8000)
    begun.start()
    recording, logits = hear(model, begun)
    assert not begun.is_alive()
    assert recording.sample_rate == model.card.front_end.sample_rate
    assert np.array_equal(logits, hear(model, song)[1])


def test_nobody_goes_on_decoding_what_nobody_hears(song: Path) -> None:
    with ahead([str(song)]) as begun:
        assert begun is not None
    assert not begun.is_alive()


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
