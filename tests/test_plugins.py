"""How names become models, formats and beat trackers."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from chordtool import plugins
from chordtool.beats import load_tracker
from chordtool.errors import ChordtoolError
from chordtool.formats import load_format, read_segments
from chordtool.models import load_model

if sys.version_info >= (3, 11):
    import tomllib


@pytest.mark.parametrize("group", plugins.OWN)
def test_our_own_table_says_what_the_installed_package_registers(group: str) -> None:
    registered = {
        e.name: e.value
        for e in entry_points(group=group)
        if e.dist is not None and e.dist.name == plugins.OURSELVES
    }
    assert plugins.OWN[group] == registered


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_our_own_table_leaves_no_group_out() -> None:
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    described = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]
    assert described == plugins.OWN


@pytest.mark.parametrize("group", plugins.OWN)
def test_every_own_name_can_be_loaded(group: str) -> None:
    for name, plugin in plugins.names(group).items():
        if plugin.distribution == plugins.OURSELVES:
            assert plugins.load(plugin) is not None, name


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("os.path:join", "join"),
        ("os : path.join", "join"),
        ("os:path.join [fast]", "join"),
        ("posixpath", "posixpath"),
    ],
)
def test_values_are_read_as_entry_points_are(value: str, attribute: str) -> None:
    found = plugins.Plugin("some", "somebody", value).load()
    assert found.__name__ == attribute


def test_an_own_name_is_found_without_reading_metadata() -> None:
    script = (
        "import sys; from chordtool import plugins;"
        "assert plugins.find('chordtool.formats', 'lab').load();"
        "assert 'importlib.metadata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_packages_are_looked_through_once_for_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a thousand labels took a minute to read."""
    searched: list[int] = []
    look = importlib.metadata.distributions

    def counted(**where: Any) -> Any:
        searched.append(1)
        return look(**where)

    monkeypatch.setattr(importlib.metadata, "distributions", counted)
    monkeypatch.syspath_prepend(tmp_path)  # Nobody has looked for plug-ins on this path yet.
    labels = tmp_path / "song.lab"
    labels.write_text("0\t1\tC\n")
    for _ in range(5):
        assert len(read_segments(labels)) == 1
    assert len(searched) == 1


def test_a_package_that_is_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a notebook, say."""
    monkeypatch.delenv("CHORDTOOL_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.find("chordtool.formats", "late") is None
    os.utime(tmp_path, (0, 0))  # However coarse the clock of the file system is.
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chordtool.formats]\nlate = late:LATE\n")
    found = plugins.find("chordtool.formats", "late")
    assert found is not None
    assert found.distribution == "late"


@pytest.mark.parametrize(
    ("load", "name", "message", "hint"),
    [
        (load_format, "JAM", "There is no format named 'JAM'.", "Did you mean jams? Known formats"),
        (load_format, "?", "There is no format named '?'.", "Known formats: lab, json, "),
        (load_model, "crem", "There is no model named 'crem'.", "Did you mean crema? Known models"),
        (
            load_tracker,
            "librosah",
            "There is no beat tracker named 'librosah'.",
            "Did you mean librosa? Known beat trackers: librosa",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all(
    load: Callable[[str], object], name: str, message: str, hint: str
) -> None:
    with pytest.raises(ChordtoolError) as caught:
        load(name)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)
