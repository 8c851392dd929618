"""Where a run computes: the device, the number format, and the processes that share the work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from chordtool.errors import TrainingError, UsageError, first_line
from chordtool.training.config import TrainConfig

MEETING: Final = timedelta(minutes=5)
"""How long processes wait for each other to come."""
_PREPARATION: Final = timedelta(days=2)
"""How long they wait for one that works: the first computes features, which can take hours."""
_NAP: Final = 0.02
"""Seconds between two looks whether all have come."""


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
            arrival = dist.barrier(async_op=True)
            # In naps: a thread that gloo holds hears no signal.
            while not arrival.is_completed():
                time.sleep(_NAP)
            arrival.wait()


@contextmanager
def place(config: TrainConfig) -> Iterator[Place]:
    """The place of a run: under ``torchrun`` one of its processes, otherwise the only one.

    Raises:
        UsageError: the device is not there, or the batch cannot be shared evenly.
        TrainingError: the other processes cannot be reached, or one of them has ended.
    """
    world, local = _told("WORLD_SIZE", 1, least=1), _told("LOCAL_RANK", 0, least=0)
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
    _meet("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Place(device, precision, dist.get_rank(), world)
    except RuntimeError as error:
        # Of gloo's errors only the text tells whose they are.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise TrainingError(
            "Another process of the run has ended, and this one cannot go on alone.",
            hint="What it said tells why.",
        ) from None
    finally:
        dist.destroy_process_group()


def _told(name: str, usual: int, *, least: int) -> int:
    """A number that torchrun puts into the environment.

    Raises:
        UsageError: it is none, or less than it can be.
    """
    text = os.environ.get(name) or str(usual)
    if not text.isdecimal() or int(text) < least:
        raise UsageError(
            f"{name} is {text!r} in the environment.", hint=f"torchrun sets it; else, unset {name}."
        )
    return int(text)


def _meet(backend: str) -> None:
    """Join the other processes.

    Raises:
        TrainingError: they cannot be reached.
    """
    try:
        store, rank, world = next(rendezvous("env://", timeout=MEETING))
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world, timeout=_PREPARATION
        )
    except (ValueError, RuntimeError) as error:
        raise TrainingError(
            f"The other processes of the run cannot be reached: {first_line(error)}",
            hint="torchrun starts all of them; for one process alone, unset WORLD_SIZE.",
        ) from None


def _device(wanted: str, local: int) -> torch.device:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).tolist()  # there are devices that only know shapes
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
