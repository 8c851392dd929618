from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chordtool.errors import UsageError
from chordtool.evaluation.files import label_files
from tests.evaluation.made import song, write


def test_one_file_of_each_song_counts_the_best(tmp_path: Path) -> None:
    for name in ("a.json", "a.jams", "a.lab", "b.json", "sub/a.JAMS", "notes.txt", ".c.lab"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in label_files(tmp_path)]
    assert found == ["a.lab", "b.json", "sub/a.JAMS"]


def test_labels_behind_a_link_to_a_folder_count_once(tmp_path: Path) -> None:
    write(tmp_path / "labels", "one", song(1))
    write(tmp_path / "elsewhere", "two", song(2))
    (tmp_path / "labels/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "labels", target_is_directory=True)
    found = [
        p.relative_to(tmp_path / "labels").as_posix() for p in label_files(tmp_path / "labels")
    ]
    assert found == ["linked/two.lab", "one.lab"]


def test_a_folder_that_cannot_be_listed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "one", song(1))
    (tmp_path / "closed").mkdir()
    scandir: Callable[[Any], Any] = os.scandir

    def refuse(path: Any) -> Any:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="closed cannot be listed: Permission denied") as caught:
        label_files(tmp_path)
    assert caught.value.hint
