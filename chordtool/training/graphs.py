"""A student's forward and backward pass as CUDA graphs: one launch instead of thousands.

A GPU computes a step of these small students in less time than Python takes to launch its kernels
one by one (benchmarks/train).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from chordtool.training.devices import Place

Forward = Callable[[Tensor], Tensor]


def graphed(student: nn.Module, place: Place, shape: tuple[int, int, int]) -> Forward | None:
    """The student with its passes captured, in training mode; it draws its dropout as before.

    Args:
        student: on the device of ``place``.
        place: of this process.
        shape: batch, frames and bins of all batches.

    Returns:
        What takes features of that shape and no other; ``None`` where there is no GPU, where
        several processes share the work, or where the student does what a graph cannot hold.
    """
    if place.device.type != "cuda" or place.world > 1:
        return None
    student.train()
    features = torch.randn(shape, device=place.device)
    try:
        with place.autocast():
            captured = torch.cuda.make_graphed_callables(
                student, (features,), allow_unused_input=True
            )
    except RuntimeError:
        return None
    # Gradients come from the stream of the graph and are added up on another, which torch waits
    # for, and would mention.
    mention = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if mention is not None:
        mention(False)
    return cast("Forward", captured)
