"""Labels train on a corpus's features and posteriors, where there is no audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from chordtool.corpus import Corpus
from chordtool.errors import TrainingError, UsageError
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.training.config import FinetuneConfig
from chordtool.training.config_file import resolve
from chordtool.training.finetune import finetune
from chordtool.training.labelled_corpus import (
    check_teachers,
    corpus_labelled_source,
    is_corpus,
)
from chordtool.training.sources import read_codes
from chordtool.training.state import ALL_EPOCHS
from chordtool.vocabulary import LARGE, MASKED
from tests.training.made import SMALL, make_corpus
from tests.training.test_finetune import CARD

FRAMES = 30


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus.open(make_corpus(tmp_path_factory.mktemp("labelled") / "corpus", 4, FRAMES))


def write_labels(folder: Path, numbers: tuple[int, ...], label: str = "E:min") -> Path:
    folder.mkdir()
    for number in numbers:
        (folder / f"song-{number}.lab").write_text(f"0.0\t1.0\t{label}\n1.0\t2.0\tD:maj(9)\n")
    return folder


def test_labels_take_the_place_of_the_corpuss_own(corpus: Corpus, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels", (0, 2))
    source, found = corpus_labelled_source(labels, corpus, name="songs")
    assert [track.song for track in source.tracks] == ["song-0", "song-2"]
    for track in source.tracks:
        assert track.labels is not None
        assert LARGE[track.labels[0]] == "E:min"
        assert track.labels[-1] == MASKED
    assert sorted(p.stem for p in found.unused) == ["song-1", "song-3"]
    assert not found.alone


def test_the_posteriors_are_the_corpuss(corpus: Corpus, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels", (1,))
    source, _ = corpus_labelled_source(labels, corpus, name="songs")
    (track,) = source.tracks
    (recording,) = [r for r in corpus.recordings() if r.row.path.endswith("song-1.flac")]
    logits = read_codes(track.soft_path or track.path, 0, FRAMES)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, recording.posteriors(), atol=1e-6)


def test_a_student_is_finetuned_without_any_audio(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = build("btc", n_bins=144, n_classes=170)
    checkpoint.save_checkpoint(tmp_path / "best.safetensors", module.state_dict(), CARD)
    labels = write_labels(tmp_path / "labels", (0, 1, 2, 3))
    config = resolve(
        FinetuneConfig,
        {
            **SMALL, "epochs": 1, "labels": (str(labels),), "audio": (str(corpus.path),),
            "student": str(tmp_path / "best.safetensors"), "teacher": ("toy",),
        },
    )  # fmt: skip
    assert finetune(config, tmp_path / "run").finished == ALL_EPOCHS
    assert not (tmp_path / "run" / "cache").exists()
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.teacher == "toy"


def test_posteriors_of_other_teachers_are_refused(corpus: Corpus) -> None:
    check_teachers(corpus, ())
    check_teachers(corpus, ("toy",))
    with pytest.raises(UsageError, match="labelled by toy, not by lv") as caught:
        check_teachers(corpus, ("lv",))
    assert "--teacher toy" in (caught.value.hint or "")


def test_posteriors_of_several_teachers_are_not_those_of_one(corpus: Corpus) -> None:
    both = tuple({**corpus.description.teachers[0], "name": name} for name in ("toy", "lv"))
    averaged = Corpus(corpus.path, replace(corpus.description, teachers=both))
    check_teachers(averaged, ("lv", "toy"))
    with pytest.raises(UsageError, match=r"labelled by toy\+lv, not by toy") as caught:
        check_teachers(averaged, ("toy",))
    assert "--teacher toy --teacher lv" in (caught.value.hint or "")


def test_labels_without_a_recording_in_the_corpus_are_an_error(
    corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="None of the 1 label files"):
        corpus_labelled_source(write_labels(tmp_path / "labels", (9,)), corpus, name="songs")


def test_a_corpus_is_told_from_a_folder_of_audio(corpus: Corpus, tmp_path: Path) -> None:
    assert is_corpus(corpus.path)
    assert not is_corpus(tmp_path)
    assert not is_corpus(None)
