"""How much memory a piece of Python takes at most, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most memory that this process has held since its program was started.

    What ``getrusage`` says begins, on Linux, with the peak of whoever started the process. It is
    asked only where nothing else is known.
    """
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    import resource  # not everywhere

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measured(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code that may ask for ``peak_bytes()``; a status other than 0 is an error."""
    code = f"from tests.memory import peak_bytes\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done
