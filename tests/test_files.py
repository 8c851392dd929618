"""Where bytes go, and that nobody sees half of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chordtool.cli import run
from chordtool.errors import ExitCode
from chordtool.files import ignores_case, place_of

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLIP, LAB = str(EXAMPLES / "clip.mp3"), str(EXAMPLES / "clip.lab")


def test_what_is_written_goes_through_a_link_to_the_file(tmp_path: Path) -> None:
    file, link, chain = tmp_path / "file", tmp_path / "link", tmp_path / "chain"
    assert place_of(file) == file
    link.symlink_to("file")
    chain.symlink_to("link")
    assert place_of(chain) == file, "it is made where the link says"
    file.write_text("")
    assert place_of(chain) == file


def test_what_is_no_file_is_no_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    for name in (".", "pipe", "null", "loop"):
        with pytest.raises(OSError, match=r"no file|links"):
            place_of(tmp_path / name)


@pytest.mark.parametrize("command", [("convert", LAB), ("transcribe", CLIP)])
@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_no_option_puts_a_file_in_the_place_of_a_pipe_or_a_device(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    command: tuple[str, str],
    options: tuple[str, ...],
) -> None:
    pipe, device = tmp_path / "pipe.csv", tmp_path / "device.csv"
    os.mkfifo(pipe)
    device.symlink_to("/dev/null")
    for target in (pipe, device):
        where = [str(target)] if command[0] == "convert" else ["-o", str(target)]
        assert run([*command, *where, *options]) == ExitCode.SOME_FAILED
        shown = capfd.readouterr().err
        assert f"{target.name} cannot be written: it is no file" in shown
        assert "- is standard output" in shown
        assert "--overwrite" not in shown
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert device.is_symlink()


@pytest.mark.parametrize("command", [("convert", LAB), ("transcribe", CLIP)])
def test_a_link_stays_and_the_file_that_it_names_is_replaced(
    tmp_path: Path, command: tuple[str, str]
) -> None:
    file, link = tmp_path / "there/file.csv", tmp_path / "link.csv"
    file.parent.mkdir()
    file.write_text("mine")
    link.symlink_to(file)
    where = [str(link)] if command[0] == "convert" else ["-o", str(link)]
    assert run([*command, *where]) == ExitCode.SOME_FAILED
    assert file.read_text() == "mine"
    assert run([*command, *where, "--overwrite"]) == ExitCode.OK
    assert link.is_symlink()
    assert file.read_text().startswith("start,end")


def test_whether_a_disk_ignores_case_is_found_out_where_the_files_will_be(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("")
    truth = (tmp_path / "NAME").exists()
    assert ignores_case(tmp_path) == truth
    assert ignores_case(tmp_path / "not/there/yet") == truth
    assert [p.name for p in tmp_path.iterdir()] == ["name"]
