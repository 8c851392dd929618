from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from chordtool.training.muon import Muon, orthogonalised

CLASSES = 5


def _move(parameters: list[nn.Parameter], optimiser: torch.optim.Optimizer, steps: int) -> None:
    """Steps with gradients that are the same for parameters of the same sizes."""
    for k in range(steps):
        for p in parameters:
            generator = torch.Generator().manual_seed(k)
            p.grad = torch.randn(p.numel(), generator=generator).reshape(p.shape)
        optimiser.step()


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_all_directions_come_out_about_as_long(
    rows: int, columns: int, scale: float, seed: int
) -> None:
    # Singular values of 0.2..1 of the largest, as the iteration's are said to reach 0.7..1.2.
    torch.manual_seed(seed)
    rank = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, rank)).Q
    right = torch.linalg.qr(torch.randn(columns, rank)).Q
    values = torch.linspace(1.0, 0.2, rank)
    matrix = scale * left @ torch.diag(values) @ right.mT
    out = orthogonalised(matrix[None])[0]
    found = torch.linalg.svdvals(out)
    assert found.min() > 0.6
    assert found.max() < 1.3
    # The directions stay where they were.
    inner = left.mT @ out @ right
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-3)


def test_nothing_stays_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_matrices_move_as_torchs_own_muon_moves_them(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    start = ours.detach().clone()
    mine = Muon([ours], 0.01, 0.1, CLASSES, torch.bfloat16)
    golden = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    _move([ours], mine, 5)
    _move([theirs], golden, 5)
    moved = (theirs - start).norm()
    assert moved > 0.01
    # Both multiply in bfloat16, in an order of their own.
    assert (ours - theirs).norm() < 0.03 * moved


def test_what_is_no_hidden_matrix_moves_as_with_adamw() -> None:
    shapes = ((7,), (CLASSES, 9), ())
    ours = [nn.Parameter(torch.linspace(-1, 1, math.prod(s)).reshape(s)) for s in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    _move(ours, Muon(ours, 0.01, 0.1, CLASSES), 5)
    _move(theirs, torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1), 5)
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, atol=1e-6)
        assert not torch.allclose(p, torch.linspace(-1, 1, p.numel()).reshape(p.shape), atol=1e-3)


def test_a_kernel_is_the_matrix_of_its_outputs() -> None:
    torch.manual_seed(0)
    kernel, matrix = (nn.Parameter(torch.randn(4, 6, 3)), nn.Parameter(torch.randn(4, 18)))
    with torch.no_grad():
        matrix.copy_(kernel.reshape(4, 18))
    for p in (kernel, matrix):
        _move([p], Muon([p], 0.01, 0.0, CLASSES), 3)
    assert torch.allclose(kernel.reshape(4, 18), matrix, atol=1e-5)


def test_a_step_is_as_long_as_adamws() -> None:
    torch.manual_seed(0)
    p = nn.Parameter(torch.zeros(64, 32))
    p.grad = torch.randn(64, 32)
    Muon([p], lr=0.01, weight_decay=0.0, n_classes=CLASSES).step()
    length = p.detach().square().mean().sqrt().item()
    assert length == pytest.approx(0.2 * 0.01, rel=0.2)


def test_parameters_without_a_gradient_stay() -> None:
    frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)
    unused, bias = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))
    bias.grad = torch.ones(3)
    Muon([frozen, unused, bias], 0.1, 0.5, CLASSES).step()
    assert torch.equal(frozen, torch.ones(3, 3))
    assert torch.equal(unused, torch.ones(3, 3))
    assert not torch.equal(bias, torch.ones(3))


def test_a_student_learns_with_it() -> None:
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv1d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv1d(8, CLASSES, 1))
    optimiser = Muon(student.parameters(), 0.02, 0.0, CLASSES)
    features, labels = torch.randn(4, 6, 20), torch.arange(80).reshape(4, 20) % CLASSES

    def loss() -> Tensor:
        return nn.functional.cross_entropy(student(features), labels)

    before = loss().item()
    for _ in range(150):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss().item() < 0.5 * before
