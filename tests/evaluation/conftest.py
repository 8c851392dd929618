from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.made import song, worse, write


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    for seed, name in enumerate(("one", "two", "sub/three")):
        write(tmp_path / "labels", name, song(seed, 12))
    return tmp_path / "labels"


@pytest.fixture
def estimates(tmp_path: Path, labels: Path) -> Path:
    for seed, name in enumerate(("one", "two", "sub/three")):
        write(tmp_path / "found", name, worse(song(seed, 12), seed))
    return tmp_path / "found"
