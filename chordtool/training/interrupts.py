"""Stopping a run between two steps, when somebody asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Wish:
    """Whether the run should stop."""

    def __init__(self) -> None:
        self.made = False

    @contextmanager
    def of_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM make the wish; a second SIGINT interrupts at once.

        Outside the main thread, which alone gets signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def make(number: int, frame: object) -> None:
            if self.made and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.made = True

        before = {s: signal.signal(s, make) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
