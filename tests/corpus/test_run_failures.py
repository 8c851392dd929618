"""What a run over a folder makes of broken recordings, dead workers and full disks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from chordtool.corpus import labelling
from chordtool.corpus.claims import Claims
from chordtool.corpus.estimate import estimate
from chordtool.corpus.folder import Corpus
from chordtool.corpus.labelling import CorpusWriteError
from chordtool.corpus.recipe import Recipe
from chordtool.corpus.run import label_corpus, plan
from chordtool.executors import ProcessExecutor, SerialExecutor

from .conftest import Label, contents, finish, start, tone


def test_recordings_that_cannot_be_labelled_are_rows_with_a_reason(
    label: Label, music: Path, tmp_path: Path
) -> None:
    (music / "empty.wav").touch()
    (music / "text.mp3").write_text("this is no music")
    (music / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (music / "folder.wav").mkdir()
    (music / "two\nlines.wav").write_bytes((music / "song0.wav").read_bytes())
    liar = bytearray((music / "song1.wav" if (music / "song1.wav").exists()
                      else music / "below" / "song1.wav").read_bytes())  # fmt: skip
    liar[40:44] = (0x7FFFFFFF).to_bytes(4, "little")  # claims 27 hours
    (music / "liar.wav").write_bytes(liar)
    summary = label(music, tmp_path / "c")
    failed = {Path(path).name for path, _ in summary.failures}
    assert failed == {"empty.wav", "text.mp3", "gone.wav"}
    assert all(reason.endswith(".") for _, reason in summary.failures)
    assert summary.count("labelled") == 10
    rows = {row.path: row for row in Corpus.open(tmp_path / "c").rows()}
    assert rows[str(music / "two\nlines.wav")].status == "labelled"
    assert rows[str(music / "liar.wav")].seconds == pytest.approx(2.3, abs=0.01)
    assert rows[str(music / "gone.wav")].error == "It does not exist, or not any more."
    assert rows[str(music / "empty.wav")].error == "It is empty."
    assert rows[str(music / "text.mp3")].error == "It holds no audio that can be read."


@pytest.mark.skipif(os.name != "posix", reason="no such files")
def test_what_would_never_end_is_a_row_with_a_reason(
    recipe: Recipe, music: Path, tmp_path: Path
) -> None:
    os.mkfifo(music / "player.mp3")
    (music / "silence.wav").symlink_to("/dev/zero")
    with (music / "sparse.wav").open("wb") as file:
        file.truncate(1 << 38)
    paths = [str(music / name) for name in ("player.mp3", "silence.wav", "sparse.wav")]
    assert estimate(recipe, paths[:2], 1).audio_seconds == 0
    corpus = Corpus.create(tmp_path / "c", recipe.describe())
    summary = label_corpus(corpus, recipe, plan(corpus, paths), SerialExecutor())
    special = "It is no file but a folder, a pipe or a device."
    reasons = [special, special, "It is larger than 128 GiB."]
    assert summary.failures == list(zip(paths, reasons, strict=True))


def test_failed_recordings_are_tried_again(label: Label, music: Path, tmp_path: Path) -> None:
    (music / "song0.wav").rename(tmp_path / "kept.wav")
    (music / "song0.wav").symlink_to(tmp_path / "later.wav")
    assert len(label(music, tmp_path / "c").failures) == 1
    (tmp_path / "kept.wav").rename(tmp_path / "later.wav")
    assert label(music, tmp_path / "c").failures == []


def test_labels_stay_while_their_audio_is_away(
    label: Label, recipe: Recipe, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    song = music / "song0.wav"
    song.rename(tmp_path / "away.wav")
    corpus = Corpus.open(tmp_path / "c")
    summary = label_corpus(corpus, recipe, plan(corpus, [str(song)]), SerialExecutor())
    assert len(summary.failures) == 1
    assert len(corpus.recordings()) == 8


def test_a_recording_that_kills_its_worker_is_the_only_one_to_fail(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_POISON", "1")
    soundfile.write(music / "poison.wav", tone(2, 50) * 3, 22_050)
    executor = ProcessExecutor(2)
    try:
        summary = label(music, tmp_path / "c", executor=executor)
    finally:
        executor.close()
    assert summary.failures == [(str(music / "poison.wav"), "Its worker process died.")]
    assert summary.count("labelled") == 8


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(music, tmp_path / "whole")
    write, written = labelling.write_recording, []

    def full(*arguments: object) -> str:
        written.append(arguments)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "write_recording", full)
        with pytest.raises(CorpusWriteError, match="No space left") as caught:
            label(music, tmp_path / "c")
    assert "goes on" in caught.value.hint
    assert len(Corpus.open(tmp_path / "c").recordings()) == 3
    assert list((tmp_path / "c" / "claims").glob("*.claim")) == []
    label(music, tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to mount a disk")
def test_a_disk_that_is_really_full_ends_the_run_in_one_sentence(
    label: Label, music: Path, toy: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "whole")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a disk here")
    try:
        words = finish(start(music, "-o", disk / "c", "-t", "toy", "-j", 2), 1)
        assert "error: The corpus cannot be written to: No space left on device." in words
        assert "Traceback" not in words
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        finish(start(music, "-o", disk / "c", "-t", "toy", "-j", 1))
        assert contents(disk / "c") == contents(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_killed_runs_left_behind_is_removed(label: Label, music: Path, tmp_path: Path) -> None:
    label(music, tmp_path / "c")
    before = contents(tmp_path / "c")
    folder = next((tmp_path / "c" / "recordings").iterdir())
    (folder / ".chordtool-abc.part").write_bytes(b"half")
    (tmp_path / "c" / ".chordtool-abc.part").write_bytes(b"half")
    with Claims(tmp_path / "c" / "claims") as theirs:
        theirs.take("x")  # somebody may be writing
        label(music, tmp_path / "c")
        assert (folder / ".chordtool-abc.part").exists()
    label(music, tmp_path / "c")
    assert contents(tmp_path / "c") == before
