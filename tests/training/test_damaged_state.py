"""A state file that somebody made: one sentence, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from chordtool.errors import TrainingError
from chordtool.training import checkpoint
from tests.training.made import make_corpus
from tests.training.test_loop import trainer

Document = dict[str, Any]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("state") / "corpus")


def progress(**changes: Any) -> Callable[[Document, Tensors], None]:
    return lambda document, tensors: document["progress"].update(changes)


def without(key: str) -> Callable[[Document, Tensors], None]:
    return lambda document, tensors: document.pop(key)


def tensor(name: str, value: torch.Tensor | None) -> Callable[[Document, Tensors], None]:
    def change(document: Document, tensors: Tensors) -> None:
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


def row(**changes: Any) -> Callable[[Document, Tensors], None]:
    return lambda document, tensors: document["progress"]["history"][0].update(changes)


DAMAGE = {
    "no settings": without("method"),
    "settings of another kind": lambda d, t: d.update(method=["lr"]),
    "no progress": without("progress"),
    "progress of another kind": lambda d, t: d.update(progress=3),
    "an unknown counter": progress(more=1),
    "a counter that is text": progress(step="7"),
    "a counter that is true": progress(epoch=True),
    "a counter below zero": progress(batch=-1),
    "a rate that falls below zero": progress(plateau_scale=-0.5),
    "minutes that are no number": progress(minutes=float("nan")),
    "too few sums": progress(sums=[0.0]),
    "sums of text": progress(sums=["0"] * 6),
    "history of numbers": progress(history=[1]),
    "history with holes": progress(history=[{"epoch": 1}]),
    "history of text": row(train_loss="low"),
    "no scaler": without("scaler"),
    "a scaler of another kind": lambda d, t: d.update(scaler=[1]),
    "no average": tensor("averaged.inner.weight", None),
    "an average of another shape": tensor("averaged.inner.weight", torch.zeros(3)),
    "moments of another shape": tensor("optimiser.exp_avg.inner.weight", torch.zeros(3)),
    "moments of nothing": tensor("optimiser.exp_avg.nothing.weight", torch.zeros(3)),
    "an unknown moment": tensor("optimiser.more.inner.weight", torch.zeros(32, 144)),
    "no second moments": tensor("optimiser.exp_avg_sq.inner.weight", None),
    "a nameless moment": tensor("optimiser.step", torch.zeros(())),
    "the momentum of muon": tensor("optimiser.momentum.inner.weight", torch.zeros(32, 144)),
}


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    trainer(corpus, folder, ema_decay=0.9).run()
    return folder


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_state_that_does_not_fit_is_one_sentence(
    damage: Callable[[Document, Tensors], Any],
    corpus: Path,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = checkpoint.load_state

    def damaged(path: Path) -> Any:
        document, card, tensors = load(path)
        damage(document, tensors)
        return document, card, tensors

    monkeypatch.setattr(checkpoint, "load_state", damaged)
    with pytest.raises(TrainingError, match="is not the state of this run") as it:
        trainer(corpus, run, ema_decay=0.9).resume()
    assert "--overwrite" in it.value.hint


def test_the_state_that_was_written_goes_on(corpus: Path, run: Path) -> None:
    assert trainer(corpus, run, ema_decay=0.9).resume()
