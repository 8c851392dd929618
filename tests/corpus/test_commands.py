from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from chordtool import cli
from chordtool.corpus.folder import Corpus
from tests.waiting import wait_until

from .conftest import rows_written, start, tone


@pytest.fixture
def call(toy: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the program in this process; returns its status, standard output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_folder_becomes_a_corpus(call: Any, music: Path, tmp_path: Path) -> None:
    status, out, err = call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-j", 1)
    assert status == 0
    assert "8 recordings to label with toy; about 24 s of audio" in err
    assert "8 labelled" in out
    assert "root entropy" in out
    assert len(Corpus.open(tmp_path / "c").recordings()) == 8


def test_the_summary_is_json_for_machines(call: Any, music: Path, tmp_path: Path) -> None:
    (music / "empty.wav").touch()
    arguments = ("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-j", 1, "--json")
    status, out, err = call(*arguments)
    document = json.loads(out)
    assert status == 1
    assert document["labelled"] == 8
    assert document["failed"][0]["path"] == str(music / "empty.wav")
    assert document["corpus"]["recordings"] == 8
    assert document["times_real_time"] > 0
    assert "empty.wav" in err
    status, out, _ = call(*arguments)
    assert json.loads(out)["unchanged"] == 8


def test_a_dry_run_writes_nothing(call: Any, music: Path, tmp_path: Path) -> None:
    arguments = ("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "--dry-run")
    status, out, _ = call(*arguments)
    assert status == 0
    assert "8 recordings to label" in out
    assert not (tmp_path / "c").exists()
    status, out, _ = call(*arguments, "--json")
    document = json.loads(out)
    assert document["todo"] == 8
    assert document["audio_hours"] == pytest.approx(24.4 / 3600, rel=0.05)
    frames = 24.4 / (2048 / 22_050)
    assert document["disk_bytes"] == pytest.approx(frames * (2 * 144 + 172) + 8 * 4096, rel=0.05)


def test_the_estimate_of_disk_is_near_what_it_takes(call: Any, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, tone(120, 1), 22_050)
    _, out, _ = call("label-corpus", song, "-o", tmp_path / "c", "-t", "toy", "--dry-run", "--json")
    call("label-corpus", song, "-o", tmp_path / "c", "-t", "toy", "-q")
    _, info, _ = call("corpus", "info", tmp_path / "c", "--json")
    taken = json.loads(info)["bytes_on_disk"]
    assert json.loads(out)["disk_bytes"] == pytest.approx(taken, rel=0.02)


def test_sources_may_come_from_a_list(call: Any, music: Path, tmp_path: Path) -> None:
    names = tmp_path / "list"
    names.write_text("\n".join(str(p) for p in (music / "below").iterdir()))
    status, _, _ = call(
        "label-corpus", "-o", tmp_path / "c", "--from-file", names, "-t", "toy", "-q", "-j", 1
    )
    assert status == 0
    assert len(Corpus.open(tmp_path / "c").recordings()) == 4


def test_teachers_are_weighed_and_the_front_end_chosen(
    call: Any, music: Path, tmp_path: Path
) -> None:
    status, _, err = call(
        "label-corpus", music / "song0.wav", "-o", tmp_path / "c", "-t", "toy", "-t", "other",
        "--weight", 3, "--weight", 1, "--student-front-end", "default+6", "-j", 1,
    )  # fmt: skip
    assert status == 0
    assert "0.25 other + 0.75 toy" in err
    corpus = Corpus.open(tmp_path / "c")
    assert corpus.front_end.n_bins == 168
    (recording,) = corpus.recordings()
    assert recording.agreement is not None
    assert recording.load().features.shape[1] == 168


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shard", "3/2"), "no shard"),
        (("--min-seconds", "9", "--max-seconds", "3"), "above"),
        (("--weight", "1", "--weight", "1"), "weights"),
        (("-t", "small"), "majmin"),
        (("--student-front-end", "default+99"), "no room"),
    ],
)
def test_options_that_make_no_sense_exit_with_2(
    call: Any, music: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    status, _, err = call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", *options)
    assert status == 2
    assert words in err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("local:x", "no local cluster"),
        ("", "no Dask scheduler"),
        (" ", "no Dask scheduler"),
        ("host", "no Dask scheduler"),
        ("xyz://host:1", "no Dask scheduler"),
    ],
)
def test_a_cluster_that_makes_no_sense_exits_with_2(
    call: Any, music: Path, tmp_path: Path, address: str, words: str
) -> None:
    pytest.importorskip("distributed", reason="Dask is the extra 'cluster'")
    where = ("label-corpus", music, "-o", tmp_path / "c", "-t", "toy")
    status, _, err = call(*where, "--cluster", address)
    assert status == 2
    assert words in err
    assert not (tmp_path / "c").exists()


def test_no_sources_exit_with_2(call: Any, tmp_path: Path) -> None:
    assert call("label-corpus", "-o", tmp_path / "c", "-t", "toy")[0] == 2


def test_a_teacher_that_is_not_here_exits_with_3_and_says_how_to_get_it(
    call: Any, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", str(tmp_path / "none"))
    monkeypatch.setattr("chordtool.catalogue.cache_folder", lambda: tmp_path / "cache")
    status, _, err = call("label-corpus", music, "-o", tmp_path / "c", "--offline")
    assert status == 3
    assert "chordtool models download lv" in err
    assert "MIT" in err
    status, _, err = call("label-corpus", music, "-o", tmp_path / "c", "-t", "nobody")
    assert status == 3
    assert "Known models" in err


def test_names_cannot_write_to_the_terminal(call: Any, music: Path, tmp_path: Path) -> None:
    (music / "\x1b[31mred\n.wav").touch()
    status, out, err = call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-j", 1)
    assert status == 1
    assert "\x1b[31m" not in out + err
    assert "red" in err


def test_an_interrupt_ends_with_130_and_the_next_run_goes_on(
    toy: Path, music: Path, tmp_path: Path
) -> None:
    arguments = (music, "-o", tmp_path / "c", "-t", "toy", "-q", "-j", 2)
    process = start(*arguments, TOY_SONGS="1")  # it does not end by itself
    wait_until(lambda: process.poll() is not None or rows_written(tmp_path / "c"), "a row")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list((tmp_path / "c" / "claims").glob("*.claim")) == []
    again = start(*arguments)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(Corpus.open(tmp_path / "c").recordings()) == 8


def test_info_shows_what_a_corpus_holds(call: Any, music: Path, tmp_path: Path) -> None:
    (music / "empty.wav").touch()
    soundfile.write(music / "quiet.wav", np.full(66_150, 1e-4), 22_050, subtype="FLOAT")
    call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-j", 1, "-q")
    status, out, _ = call("corpus", "info", tmp_path / "c")
    assert status == 0
    assert "8 music, 1 silence" in out
    assert "empty.wav" in out
    for words in ("hours:", "classes:", "root entropy:", "agreement", "hdim7", "0.9-1.0"):
        assert (words in out) == (words != "agreement")
    status, out, _ = call("corpus", "info", tmp_path / "c", "--json")
    document = json.loads(out)
    assert document["failed"] == 1
    assert document["content"] == {"music": 8, "silence": 1}
    assert 0 < document["root_entropy"] <= 1
    assert len(document["confidence_histogram"]) == 10


def test_verify_exits_with_1_while_something_was_wrong(
    call: Any, music: Path, tmp_path: Path
) -> None:
    call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-j", 1, "-q")
    assert call("corpus", "verify", tmp_path / "c")[0] == 0
    shutil.rmtree(next((tmp_path / "c" / "recordings").iterdir()))
    status, out, _ = call("corpus", "verify", tmp_path / "c", "--json")
    document = json.loads(out)
    assert status == 1
    assert document["repaired"]
    assert len(document["missing"]) >= 1
    assert call("corpus", "verify", tmp_path / "c", "--check")[0] == 0
    assert call("label-corpus", music, "-o", tmp_path / "c", "-t", "toy", "-q")[0] == 0
    assert len(Corpus.open(tmp_path / "c").recordings()) == 8


def test_what_is_no_corpus_is_one_sentence(call: Any, tmp_path: Path) -> None:
    for command in ("info", "verify"):
        status, out, err = call("corpus", command, tmp_path)
        assert status == 1
        assert out == ""
        assert "is not a corpus" in err


@pytest.mark.parametrize("option", ["-o", "--from-file"])
def test_a_name_that_is_empty_is_misuse(
    call: Any, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """A variable of a shell that is not set: the folder where one was became a corpus."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    arguments = ("label-corpus", music, "-t", "toy", "-j", 1, "-o", tmp_path / "c")
    status, out, err = call(*arguments, option, "")
    assert (status, out) == (2, "")
    assert "name" in err
    assert list(tmp_path.joinpath("here").iterdir()) == []
    assert not (tmp_path / "c").exists()
    assert call("corpus", "info", "")[0] == 2
