"""Muon: steepest descent for matrices in the spectral norm.

A matrix's gradient is mostly a few directions, and AdamW follows those. Muon puts in place of the
gradient's momentum the nearest matrix with orthonormal rows or columns, which moves in all
directions alike. What that brings to these students is measured in docs/reproduction.md.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), for the method and
the iteration's coefficients; Liu et al., arXiv 2502.16982, for the scale that makes AdamW's rates
and weight decay those of Muon, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim.adamw import adamw

MOMENTUM: Final = 0.95
BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
# Of an odd polynomial that takes singular values of 0..1 to about 1 in five rounds; they end
# between 0.7 and 1.2, which is as good.
_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_ROUNDS: Final = 5
# The root mean square of AdamW's steps, measured by Liu et al.
_SCALE: Final = 0.2


def orthogonalised(matrices: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """The nearest matrices whose singular values are all about 1, by Newton-Schulz iteration.

    Args:
        matrices: [number, rows, columns]; one that is all zeros stays so.
        precision: what to multiply in; bfloat16 is enough.

    Returns:
        as many of the same shape, float32.
    """
    a, b, c = _COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = (x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)).to(precision)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = (x if wide else x.mT).float()
    return found


class Muon(torch.optim.Optimizer):
    """Muon for hidden matrices, AdamW for all else.

    A convolution's kernel [out, in, width] counts as a matrix [out, in * width]. Biases, gains and
    the classifier, each of whose rows is one class's alone, are AdamW's.

    Args:
        parameters: of the student.
        lr: learning rate, of both kinds.
        weight_decay: decoupled, of both kinds.
        n_classes: rows of the classifier.
        precision: of the products within a step.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        n_classes: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._n_classes = n_classes
        # float16 has too few bits of exponent for what the iteration starts with.
        self._precision = torch.bfloat16 if precision == torch.bfloat16 else torch.float32

    def slots(self, parameter: Tensor) -> dict[str, Tensor]:
        """What is kept of a parameter between steps, as it is before the first one."""
        if self._is_matrix(parameter):
            return {"momentum": torch.zeros_like(parameter)}
        return {
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
            "step": torch.zeros(()),
        }

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if not self.state[p]:
                    self.state[p].update(self.slots(p))
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for p in moved:
                if self._is_matrix(p):
                    alike.setdefault((p.shape[0], p[0].numel()), []).append(p)
            for shape, matrices in alike.items():
                self._move_matrices(matrices, shape, group)
            self._move_others([p for p in moved if not self._is_matrix(p)], group)

    def _is_matrix(self, parameter: Tensor) -> bool:
        return parameter.ndim >= 2 and parameter.shape[0] != self._n_classes

    def _move_matrices(
        self, matrices: list[Tensor], shape: tuple[int, int], group: dict[str, Any]
    ) -> None:
        gradients = [p.grad for p in matrices if p.grad is not None]
        momenta = [self.state[p]["momentum"] for p in matrices]
        torch._foreach_lerp_(momenta, gradients, 1.0 - MOMENTUM)
        # Nesterov's: one step of the momentum ahead.
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        stacked = torch.stack([step.reshape(shape) for step in ahead])
        steps = orthogonalised(stacked, self._precision) * (_SCALE * math.sqrt(max(shape)))
        torch._foreach_mul_(matrices, 1.0 - group["lr"] * group["weight_decay"])
        moves = [step.reshape(p.shape) for step, p in zip(steps, matrices, strict=True)]
        torch._foreach_add_(matrices, moves, alpha=-group["lr"])

    def _move_others(self, others: list[Tensor], group: dict[str, Any]) -> None:
        slots = [self.state[p] for p in others]
        adamw(
            others,
            [p.grad for p in others if p.grad is not None],
            [slot["exp_avg"] for slot in slots],
            [slot["exp_avg_sq"] for slot in slots],
            [],
            [slot["step"] for slot in slots],
            foreach=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=EPSILON,
            maximize=False,
        )
