from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.made import make_corpus
from tests.training.test_loop import trainer, weights


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("validation") / "corpus")


def test_the_average_of_the_weights_is_what_is_validated(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run", ema_decay=0.9, epochs=1)
    row = run.run().state.history[0]
    found = []
    for kept in (weights(tmp_path / "run"), run.student.state_dict()):
        other = trainer(corpus, tmp_path / "other", epochs=1)
        other.student.load_state_dict(kept)
        found.append(other.validate())
    assert found[0] == (row["validation_loss"], row["validation_accuracy"])
    assert found[1] != found[0]


def test_validation_sees_every_frame_of_its_songs_once(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run")
    frames = sum(t.n_frames for t in run.validation.tracks)
    with torch.no_grad():
        for p in run.student.parameters():
            p.zero_()
        run.student.outer.bias[1] = 5.0  # type: ignore[union-attr, operator, index]
    validated = run.validate()
    assert validated is not None
    labels = np.concatenate(
        [run.validation.gather(run.validation.epoch(0), k, k + 1).labels.ravel()
         for k in range(len(run.validation))]
    )  # fmt: skip
    known = labels[labels >= 0]
    assert len(known) == frames
    assert validated[1] == pytest.approx((known == 1).mean())


def test_validation_is_cross_entropy_whatever_was_trained_with(
    corpus: Path, tmp_path: Path
) -> None:
    plain, focal = (
        trainer(corpus, tmp_path / "run", loss=loss).validate()
        for loss in ("cross-entropy", "focal")
    )
    assert plain == focal
