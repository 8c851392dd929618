"""A bound on what a network of unknown origin may allocate."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NETWORK_BYTES: Final = 4 << 30
"""Memory that a network may take beyond what the process had when it began."""

_guard = threading.Lock()
_inside = 0
_before = (0, 0)


@contextmanager
def bounded_memory(extra: int = NETWORK_BYTES) -> Iterator[None]:
    """Let allocations fail that go far beyond what the process has now.

    A few bytes of a graph can ask for any amount of memory, and ONNX Runtime has no limit of
    its own. The bound is the operating system's, on the whole process while anybody is inside;
    on other systems than Linux there is none.
    """
    global _inside, _before
    if sys.platform != "linux":
        yield
        return
    import resource

    with _guard:
        _inside += 1
        if _inside == 1:
            _before = resource.getrlimit(resource.RLIMIT_AS)
            limits = [v for v in (_taken() + extra, *_before) if v != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(limits), _before[1]))
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if _inside == 0:
                resource.setrlimit(resource.RLIMIT_AS, _before)


def _taken() -> int:
    """Bytes of address space that this process has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
