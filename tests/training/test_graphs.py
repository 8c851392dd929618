from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chordtool.models.students import build
from chordtool.training import loop
from chordtool.training.devices import Place
from chordtool.training.graphs import graphed
from tests.training.made import make_corpus
from tests.training.test_loop import Small, trainer

SHAPE = (4, 12, 144)
GPU = Place(torch.device("cuda", 0), torch.bfloat16)


def test_a_processor_and_several_processes_have_no_graphs() -> None:
    assert graphed(Small(), Place(torch.device("cpu"), torch.float32), SHAPE) is None
    assert graphed(Small(), Place(GPU.device, GPU.precision, 0, 2), SHAPE) is None


def test_a_student_that_no_graph_can_hold_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: Any, **options: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Place, "autocast", lambda place: nullcontext())
    monkeypatch.setattr(torch, "randn", lambda shape, device: torch.zeros(shape))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuses)
    assert graphed(Small(), GPU, SHAPE) is None


def test_torch_is_told_not_to_mention_the_graphs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(Place, "autocast", lambda place: nullcontext())
    monkeypatch.setattr(torch, "randn", lambda shape, device: torch.zeros(shape))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda student, *a, **k: student)
    name = "set_warn_on_accumulate_grad_stream_mismatch"
    monkeypatch.setattr(torch.autograd.graph, name, told.append, raising=False)
    student = Small().eval()
    assert graphed(student, GPU, SHAPE) is student
    assert student.training
    assert told == [False]


@pytest.mark.parametrize(("batch_size", "asked"), [(4, 1), (1000, 0)])
def test_the_loop_asks_for_the_shape_of_its_batches(
    batch_size: int, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, int, int]] = []
    seen: list[torch.Size] = []

    def captured(student: torch.nn.Module, place: Place, shape: tuple[int, int, int]) -> Any:
        shapes.append(shape)

        def forward(features: Tensor) -> Tensor:
            seen.append(features.shape)
            return student(features)  # type: ignore[no-any-return]

        return forward

    monkeypatch.setattr(loop, "graphed", captured)
    corpus = make_corpus(tmp_path / "corpus")
    trainer(corpus, tmp_path / "run", epochs=1, batch_size=batch_size).run()
    assert len(shapes) == asked
    assert set(map(tuple, seen)) == set(shapes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("architecture", ["btc", "2e1d"])
def test_a_graph_computes_what_the_student_does(architecture: str) -> None:
    torch.manual_seed(0)
    plain = build(architecture, n_bins=144, n_classes=170).to(GPU.device)
    other = build(architecture, n_bins=144, n_classes=170).to(GPU.device)
    other.load_state_dict(plain.state_dict())
    captured = graphed(other, GPU, SHAPE)
    assert captured is not None
    features = torch.randn(SHAPE, device=GPU.device)
    found = []
    for student, forward in ((plain.train(), plain), (other, captured)):
        torch.manual_seed(1)  # the same dropout
        with GPU.autocast():
            logits = forward(features)
        logits.float().square().mean().backward()
        found.append([p.grad for p in student.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1])
