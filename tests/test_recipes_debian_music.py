"""Music out of Debian's packages: what is taken is what the list says, and is taken once."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipes.debian_music import LIST, Found, Package, choose, main, packages

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None,
    reason="needs Debian's dpkg-deb and apt-get",
)


def found(name: str, seconds: float, digest: str) -> Found:
    return Found(Path(name), name, seconds, digest)


def test_the_list_that_is_used_can_be_read() -> None:
    wanted = packages(LIST.read_text())
    assert len({p.name for p in wanted}) == len(wanted) > 50
    assert {p.held_out for p in wanted} == {True, False}


def test_a_list_is_names_hours_and_what_is_held_out() -> None:
    text = "# games\nasc-music 0.6\n\nzaz-data 1 held-out  # more\n"
    assert packages(text) == (Package("asc-music", 0.6), Package("zaz-data", 1.0, True))


@pytest.mark.parametrize(
    "line", ["asc-music", "asc-music much", "asc-music 1 train", "a 1 held-out x"]
)
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"could not convert|not a package"):
        packages(line)


def test_recordings_are_taken_by_hash_until_the_hours_are_full() -> None:
    music = [found("a", 100, "c"), found("b", 200, "a"), found("c", 50, "d"), found("d", 90, "b")]
    assert [r.path.name for r in choose(music, 295 / 3600)] == ["b", "d"]
    assert [r.path.name for r in choose(music, 260 / 3600)] == ["b", "c"], "what fits is taken"
    assert choose(music, 0.0) == []


@needs_dpkg
def test_a_package_is_fetched_once_with_its_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = package(tmp_path, "tiny-music", noisy=True)
    log = apt_get_that_gives(built, tmp_path, monkeypatch)
    wanted = tmp_path / "list.txt"
    wanted.write_text("tiny-music 1 held-out\n")
    out = tmp_path / "out"
    for _ in range(2):
        assert main(["--out", str(out), "--list", str(wanted)]) == 0
    assert log.read_text().split() == ["tiny-music"], "what is there is not downloaded again"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert sorted(line["path"] for line in lines) == [
        "usr/share/games/tiny/data.pk3.d/music/in.flac",
        "usr/share/games/tiny/out.flac",
    ]
    assert {line["package"] for line in lines} == {"tiny-music_1_all"}
    assert sorted(p.name for p in (out / "held-out").iterdir()) == sorted(
        line["file"].rpartition("/")[2] for line in lines
    )
    assert (out / "copyright/tiny-music").read_text() == "GPL-2\n"
    assert sorted(p.name for p in out.iterdir()) == [
        "copyright",
        "held-out",
        "manifest.jsonl",
        "music",
    ]


@needs_dpkg
def test_a_package_that_cannot_be_had_is_told_and_the_others_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apt_get_that_gives(package(tmp_path, "tiny-music"), tmp_path, monkeypatch)
    wanted = tmp_path / "list.txt"
    wanted.write_text("absent-music 1\ntiny-music 1\n")
    assert main(["--out", str(tmp_path / "out"), "--list", str(wanted)]) == 1
    assert "Not fetched: absent-music." in capsys.readouterr().err
    assert len(list((tmp_path / "out/music").iterdir())) == 1


def package(folder: Path, name: str, *, noisy: bool = False) -> Path:
    """A Debian package of one recording; noisy: one more in an archive, and what is no music."""
    tree = folder / "tree"
    games = tree / "usr/share/games/tiny"
    notice = tree / "usr/share/doc" / name / "copyright"
    control = tree / "DEBIAN/control"
    for path in (games / "x", notice, control):
        path.parent.mkdir(parents=True)
    notice.write_text("GPL-2\n")
    control.write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\n"
        "Description: x\n"
    )
    rate = 1000
    soundfile.write(games / "out.flac", np.zeros(50 * rate), rate)
    if noisy:
        shutil.copy(games / "out.flac", games / "same.flac")
        soundfile.write(games / "jingle.flac", np.zeros(5 * rate), rate)
        (games / "broken.ogg").write_bytes(b"no music")
        (games / "broken.pk3").write_bytes(b"no archive")
        soundfile.write(folder / "in.flac", np.ones(60 * rate) / 2, rate)
        with zipfile.ZipFile(games / "data.pk3", "w") as archive:
            archive.write(folder / "in.flac", "music/in.flac")
            archive.writestr("maps/a.map", b"a map")
    built = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, built], check=True)
    return built


def apt_get_that_gives(built: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ``apt-get`` first on the path that has this package alone; returns its log."""
    tool, log = folder / "bin/apt-get", folder / "log.txt"
    tool.parent.mkdir()
    name = built.name.partition("_")[0]
    tool.write_text(
        f'#!/bin/sh\nshift 4\ntest "$1" = {name} || exit 100\necho "$1" >>"{log}"\ncp "{built}" .\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    return log
