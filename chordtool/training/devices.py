"""Where a run computes: the device, the number format, and the processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from chordtool.errors import UsageError
from chordtool.training.config import TrainConfig


@dataclass(frozen=True)
class Place:
    """The device of this process, and its number among the processes."""

    device: torch.device
    precision: torch.dtype
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision, if it is on."""
        if self.precision == torch.float32:
            return nullcontext()
        # A weight is cast once a step either way, and a graph cannot hold what the cache does.
        context: AbstractContextManager[None] = torch.autocast(
            self.device.type, self.precision, cache_enabled=False
        )
        return context

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, where ``values`` is."""
        if self.world == 1:
            return values
        there = values.to(self.device)
        dist.all_reduce(there)
        return there.to(values.device)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def place(config: TrainConfig) -> Iterator[Place]:
    """The place of a run: under ``torchrun`` one of its processes, otherwise the only one.

    Raises:
        UsageError: the device is not there, or the batch cannot be shared evenly.
    """
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if config.batch_size % world:
        raise UsageError(
            f"A batch of {config.batch_size} cannot be shared by {world} processes.",
            hint=f"Choose a --batch-size that {world} divides.",
        )
    device = _device(config.device, local)
    if config.threads:
        torch.set_num_threads(config.threads)
    precision = _precision(config.precision, device)
    if world == 1:
        yield Place(device, precision)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The others wait while the first computes features, which can take hours.
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(days=2))
    try:
        yield Place(device, precision, dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def _device(wanted: str, local: int) -> torch.device:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(
            f"There is no device {wanted!r} here.", hint="Choose auto, cpu, cuda or mps."
        ) from None
    return torch.device("cuda", local) if wanted == "cuda" else device


def _precision(wanted: str, device: torch.device) -> torch.dtype:
    if wanted == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32
    chosen: torch.dtype = getattr(torch, wanted)
    return chosen
