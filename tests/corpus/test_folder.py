"""What a corpus's folder may be found to hold, and what is done about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chordtool.corpus.claims import Claims
from chordtool.corpus.folder import Corpus
from chordtool.corpus.recipe import make_recipe
from chordtool.corpus.recording import Recording
from chordtool.corpus.verify import verify
from chordtool.errors import CorpusError
from chordtool.files import PART_PATTERN

from .conftest import Label, contents


def test_a_newer_corpus_is_left_alone(label: Label, music: Path, tmp_path: Path) -> None:
    label(music, tmp_path / "c")
    file = tmp_path / "c" / "corpus.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(CorpusError, match="newer"):
        label(music, tmp_path / "c")
    with pytest.raises(CorpusError, match="newer"):
        Corpus.open(tmp_path / "c")


def test_two_runs_with_different_settings_do_not_mix(
    label: Label, toy: Path, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    before = (tmp_path / "c" / "corpus.json").read_bytes()
    with Claims(tmp_path / "c" / "claims") as theirs:
        theirs.take("x")
        with pytest.raises(CorpusError, match="other settings"):
            label(music, tmp_path / "c", made_by=make_recipe(["other"]))
        assert (tmp_path / "c" / "corpus.json").read_bytes() == before
        label(music, tmp_path / "c")
    label(music, tmp_path / "c", made_by=make_recipe(["other"]))


def test_a_description_that_another_run_tidies_away_is_written_again(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, tidied = os.fsync, list[Path]()

    def tidy_first(handle: int) -> None:
        fsync(handle)
        for part in [] if tidied else (tmp_path / "c").glob(PART_PATTERN):
            part.unlink()
            tidied.append(part)

    monkeypatch.setattr(os, "fsync", tidy_first)
    label(music, tmp_path / "c")
    assert tidied
    label(music, tmp_path / "d")
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_a_folder_that_holds_something_else_is_left_alone(
    label: Label, music: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(CorpusError, match="neither empty nor a corpus"):
        label(music, other)
    with pytest.raises(CorpusError, match="neither empty nor a corpus"):
        label(music, other / "thesis.tex")
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", [b"", b'{"schema"', b'{"schema": 1, "teachers": [{"name": "\xc2'])
def test_a_damaged_description_is_written_anew(
    label: Label, music: Path, tmp_path: Path, text: bytes
) -> None:
    label(music, tmp_path / "c")
    before = contents(tmp_path / "c")
    (tmp_path / "c" / "corpus.json").write_bytes(text)
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path / "c")
    assert "label-corpus again" in caught.value.hint
    assert label(music, tmp_path / "c").labelled_seconds == 0, "nothing is labelled twice"
    assert contents(tmp_path / "c") == before


def test_somebody_elses_corpus_json_is_left_alone(
    label: Label, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "corpus.json").write_text('{"texts": 12}')
    with pytest.raises(CorpusError, match="neither empty nor a corpus"):
        label(music, tmp_path)
    assert (tmp_path / "corpus.json").read_text() == '{"texts": 12}'


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": "x"}', "\udcff"])
def test_a_broken_description_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CorpusError):
        Corpus.open(tmp_path)


def test_a_folder_that_is_no_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path)
    assert "label-corpus" in caught.value.hint


@pytest.mark.skipif(os.name != "posix", reason="no such files")
def test_a_corpus_of_pipes_and_devices_keeps_nobody_waiting(
    label: Label, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    corpus = Corpus.open(tmp_path / "c")
    lost, other = (recording.path for recording in corpus.recordings()[:2])
    lost.unlink()
    os.mkfifo(lost)
    other.unlink()
    other.symlink_to("/dev/zero")
    (corpus.claims_folder / "x.claim").symlink_to("/dev/zero")
    assert verify(corpus, repair=False).lost
    with pytest.raises(CorpusError, match="no file"):
        Recording(lost)
    corpus.manifest.path.unlink()
    os.mkfifo(corpus.manifest.path)
    with pytest.raises(CorpusError, match="no file"):
        corpus.rows()
    description = tmp_path / "c" / "corpus.json"
    description.unlink()
    description.symlink_to("/dev/zero")
    with pytest.raises(CorpusError, match="no file"):
        Corpus.open(tmp_path / "c")


def test_a_description_of_megabytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_bytes(b" " * (2 << 20))
    with pytest.raises(CorpusError, match="more than"):
        Corpus.open(tmp_path)
