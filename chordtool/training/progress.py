"""What a run says while it runs: a live line or plain lines, a table, TensorBoard."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from chordtool.errors import UsageError
from chordtool.files import atomic_write
from chordtool.printable import printable

COLUMNS = (
    "epoch", "step", "minutes", "lr", "train_loss", "train_accuracy",
    "validation_loss", "validation_accuracy", "segments_per_second", "loading_share",
)  # fmt: skip
"""Columns of ``metrics.csv``, one row an epoch. ``loading_share`` is the share of the time that
was spent waiting for data."""


class Listener(Protocol):
    """What the loop tells about itself."""

    def message(self, text: str) -> None:
        """Something happened."""

    def prepared(self, done: int, total: int) -> None:
        """So many recordings are ready: their features, or the teacher's path through them."""

    def step(self, numbers: dict[str, float]) -> None:
        """A few times a minute: epoch, epochs, batch, batches, loss, accuracy, lr, rate, left."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is over; the row has :data:`COLUMNS`."""

    def close(self) -> None:
        """The run is over."""


class Silent:
    """Says nothing: for tests, and for all processes but one."""

    def message(self, text: str) -> None: ...

    def prepared(self, done: int, total: int) -> None: ...

    def step(self, numbers: dict[str, float]) -> None: ...

    def epoch(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Display:
    """A live line on a terminal, plain lines elsewhere; always on standard error."""

    PLAIN_SECONDS = 30.0

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._live: Progress | None = None
        self._spoke = 0.0

    def message(self, text: str) -> None:
        # It may name files, whose names may hold what a terminal obeys.
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def prepared(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._spoke >= self.PLAIN_SECONDS:
            self._spoke = time.monotonic()
            self.message(f"prepared {done}/{total} recordings")

    def step(self, numbers: dict[str, float]) -> None:
        line = (
            f"epoch {numbers['epoch'] + 1:.0f}/{numbers['epochs']:.0f}  "
            f"batch {numbers['batch']:.0f}/{numbers['batches']:.0f}  "
            f"{clock(numbers['left'])} left  "
            f"loss {numbers['loss']:.4f}  accuracy {numbers['accuracy']:.2%}  "
            f"lr {numbers['lr']:.2e}  {numbers['rate']:.0f} segments/s"
        )
        if not self._console.is_terminal:
            if time.monotonic() - self._spoke >= self.PLAIN_SECONDS:
                self._spoke = time.monotonic()
                self.message(line)
            return
        if self._live is None:
            self._live = Progress(
                BarColumn(), TextColumn("{task.description}"),
                console=self._console, transient=True,
            )  # fmt: skip
            self._live.add_task("", total=1.0)
            self._live.start()
        done = (numbers["epoch"] + numbers["batch"] / numbers["batches"]) / numbers["epochs"]
        self._live.update(self._live.task_ids[0], completed=done, description=line)

    def epoch(self, row: dict[str, Any]) -> None:
        text = (
            f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, "
            f"accuracy {row['train_accuracy']:.2%}"
        )
        if row["validation_accuracy"] is not None:
            text += (
                f", validation loss {row['validation_loss']:.4f}, "
                f"accuracy {row['validation_accuracy']:.2%}"
            )
        self.message(
            text + f", {row['minutes']:.1f} min, {row['segments_per_second']:.0f} segments/s"
        )

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class TensorBoard:
    """The same numbers as TensorBoard events in ``RUN/tensorboard``."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "TensorBoard is not installed.", hint="pip install 'chordtool[tensorboard]'"
            ) from None
        # A writer makes its folder at once, and a run's folder must be the run's to make.
        self._make: Callable[[], Any] = partial(SummaryWriter, str(folder / "tensorboard"))
        self._writer: Any = None

    def message(self, text: str) -> None: ...

    def prepared(self, done: int, total: int) -> None: ...

    def step(self, numbers: dict[str, float]) -> None: ...

    def epoch(self, row: dict[str, Any]) -> None:
        self._writer = self._writer or self._make()
        for name in COLUMNS[3:]:
            if row[name] is not None:
                self._writer.add_scalar(name, row[name], row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Several:
    """Tells several listeners."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def message(self, text: str) -> None:
        for listener in self._listeners:
            listener.message(text)

    def prepared(self, done: int, total: int) -> None:
        for listener in self._listeners:
            listener.prepared(done, total)

    def step(self, numbers: dict[str, float]) -> None:
        for listener in self._listeners:
            listener.step(numbers)

    def epoch(self, row: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.epoch(row)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


def write_metrics(path: Path, history: list[dict[str, Any]]) -> None:
    """Write ``metrics.csv``: one row an epoch with :data:`COLUMNS`."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    with atomic_write(path, "w") as file:
        file.write(text.getvalue())


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
