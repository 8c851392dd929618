"""The programs of ``benchmarks/`` say how they are called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize(
    "name",
    ["detuned/run.py", "fast_changes/run.py", "teachers/agreement.py", "teachers/transposed.py"],
)
def test_help_is_the_usage(name: str) -> None:
    found = subprocess.run(
        [sys.executable, BENCHMARKS / name, "--help"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"usage: {Path(name).name}")
