"""A bound on what libraries may allocate over files of unknown origin."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NETWORK_BYTES: Final = 4 << 30
"""Memory that a network may take beyond what the process had when it began."""
HEADER_BYTES: Final = 1 << 30
"""Memory that FFmpeg may take for the header of a recording; hours of film take a tenth."""

_guard = threading.Lock()
_bounds: list[int] = []
"""Of those who are inside: bytes of address space."""
_before = (0, 0)


@contextmanager
def bounded_memory(extra: int) -> Iterator[None]:
    """Let allocations fail that go far beyond what the process has now.

    A few bytes of a graph can ask for any amount of memory, and ONNX Runtime has no limit of
    its own; nor has FFmpeg for the samples that the header of an mp4 claims. The bound is the
    operating system's, on the whole process while anybody is inside, the narrowest of all who
    are; on other systems than Linux there is none.

    Args:
        extra: bytes beyond those that the process has.
    """
    global _before
    if sys.platform != "linux":
        yield
        return
    import resource

    with _guard:
        if not _bounds:
            _before = resource.getrlimit(resource.RLIMIT_AS)
        bound = _taken() + extra
        _bounds.append(bound)
        _set_limit()
    try:
        yield
    finally:
        with _guard:
            _bounds.remove(bound)
            _set_limit()


def _set_limit() -> None:
    import resource

    limits = [v for v in (*_bounds, *_before) if v != resource.RLIM_INFINITY]
    soft = min(limits) if _bounds else _before[0]
    resource.setrlimit(resource.RLIMIT_AS, (soft, _before[1]))


def _taken() -> int:
    """Bytes of address space that this process has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
