from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chordtool.corpus.recipe import with_spare
from chordtool.errors import TrainingError
from chordtool.frontend import FrontEnd
from chordtool.training import resident
from chordtool.training.data import Segments, Source
from chordtool.training.prefetch import Reader
from chordtool.training.resident import Resident, feed, size_bytes
from chordtool.training.sources import corpus_source
from chordtool.training.tensors import OnDevice
from tests.training.made import config, make_corpus, memory_source

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("data") / "corpus")


def weighed(corpus: Path, weight: float) -> Source:
    """The corpus, its recordings counting so much."""
    source = corpus_source(corpus)
    tracks = tuple(replace(t, weight=weight) for t in source.tracks)
    return replace(source, tracks=tracks)


def unlike(a: OnDevice, b: OnDevice) -> list[str]:
    """Names of the fields that differ in a bit, in shape or in type."""
    different = []
    for name, one in vars(a).items():
        other = getattr(b, name)
        if isinstance(one, np.ndarray):
            same = np.array_equal(one, other)
        elif one is None or other is None:
            same = one is other
        else:
            same = one.dtype == other.dtype and torch.equal(one, other)
        if not same:
            different.append(name)
    return different


SETTINGS: list[dict[str, Any]] = [
    {},
    {"kd_alpha": 0.5},
    {"kd_alpha": 0.5, "jitter_frames": 6, "segment_frames": 20, "stride": 7},
    {"segment_frames": 1000},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("training", [True, False])
def test_batches_are_those_read_from_the_disk(
    corpus: Path, settings: dict[str, Any], training: bool
) -> None:
    segments = Segments([weighed(corpus, 0.5)], config(**settings), FrontEnd(), training=training)
    plan = segments.epoch(1)
    held = Resident(segments, CPU)
    for part in (range(len(plan)), range(1, len(plan), 2)):
        there = held.gather(plan, part.start, part.stop, part.step)
        read = OnDevice.copy(segments.gather(plan, part.start, part.stop, part.step), CPU)
        assert unlike(there, read) == []


@pytest.mark.parametrize("kd_alpha", [0.0, 0.5])
def test_pitch_shifts_are_those_of_the_disk(tmp_path: Path, kd_alpha: float) -> None:
    corpus = make_corpus(tmp_path / "corpus", front_end=with_spare(FrontEnd(), 6))
    setting = config(pitch_low=-5, pitch_high=6, kd_alpha=kd_alpha)
    mixed = [corpus_source(corpus), replace(corpus_source(corpus), weight=2.0)]
    silent = tuple(replace(t, posteriors=None) for t in mixed[1].tracks)
    segments = Segments([mixed[0], replace(mixed[1], tracks=silent)], setting, FrontEnd())
    plan = segments.epoch(0)
    assert len(set(plan.shift.tolist())) > 6
    held = Resident(segments, CPU)
    assert (
        unlike(
            held.gather(plan, 0, len(plan)), OnDevice.copy(segments.gather(plan, 0, len(plan)), CPU)
        )
        == []
    )


def test_long_recordings_are_read_in_parts(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = Segments([corpus_source(corpus)], config(kd_alpha=0.5), FrontEnd())
    plan = segments.epoch(0)
    whole = Resident(segments, CPU).gather(plan, 0, 8)
    monkeypatch.setattr(resident, "_FILE_FRAMES", 5)
    assert unlike(Resident(segments, CPU).gather(plan, 0, 8), whole) == []


def test_a_recording_that_cannot_be_read_is_one_sentence() -> None:
    segments = Segments([memory_source(3)], config(), FrontEnd())
    with pytest.raises(TrainingError, match="cannot be read"):
        Resident(segments, CPU)


def test_a_corpus_that_does_not_fit_is_one_sentence(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*shape: int, **options: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    segments = Segments([corpus_source(corpus)], config(), FrontEnd())
    monkeypatch.setattr(torch, "empty", refuses)
    with pytest.raises(TrainingError, match=r"takes 0\.0 GiB, which cpu has not free") as caught:
        Resident(segments, CPU)
    assert "--keep-on-device never" in caught.value.hint


def test_who_holds_a_corpus(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = Segments([corpus_source(corpus)], config(kd_alpha=0.5), FrontEnd())
    assert isinstance(feed(segments, CPU, "auto"), Reader)
    assert isinstance(feed(segments, CPU, "always"), Resident)
    need = size_bytes(segments)
    held = Resident(segments, CPU)
    tensors = (held._features, held._labels, held._soft)
    assert need == sum(t.numel() * t.element_size() for t in tensors)
    gpu = torch.device("cuda", 0)
    made: list[str] = []
    monkeypatch.setattr(resident, "Resident", lambda *_: made.append("held"))
    for free, wanted in [(2 * need + 2, "auto"), (2 * need, "never"), (2 * need, "auto")]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        made.append(type(feed(segments, gpu, wanted)).__name__)
    assert made == ["held", "NoneType", "Reader", "Reader"]
