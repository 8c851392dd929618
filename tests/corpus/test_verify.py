from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from chordtool.corpus.claims import Claims
from chordtool.corpus.folder import Corpus
from chordtool.corpus.info import describe_corpus
from chordtool.corpus.recipe import make_recipe
from chordtool.corpus.run import Bounds
from chordtool.corpus.verify import verify
from chordtool.errors import CorpusError

from .conftest import Label, contents, tone


@pytest.fixture
def corpus(label: Label, music: Path, tmp_path: Path) -> Corpus:
    label(music, tmp_path / "c")
    return Corpus.open(tmp_path / "c")


def song(corpus: Corpus, name: str = "song0.wav") -> str:
    return next(row.path for row in corpus.rows() if (row.path or "").endswith(name))  # type: ignore


def file_of(corpus: Corpus, name: str = "song0.wav") -> Path:
    row = next(row for row in corpus.rows() if (row.path or "").endswith(name))
    return corpus.recording_path(row.audio_sha256)


def test_a_sound_corpus_is_left_as_it_is(corpus: Corpus) -> None:
    before = contents(corpus.path)
    seen: list[tuple[int, int]] = []
    report = verify(corpus, audio=True, on_row=lambda done, total: seen.append((done, total)))
    assert report.is_clean
    assert report.checked == 8
    assert seen[-1] == (8, 8)
    assert contents(corpus.path) == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (flip, "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_what_is_lost_is_found_and_labelled_again(
    corpus: Corpus, label: Label, music: Path, harm: Callable[[Path], None], kind: str
) -> None:
    whole = contents(corpus.path)
    path, file = song(corpus), file_of(corpus)
    harm(file)
    looked = verify(corpus, repair=False)
    assert getattr(looked, kind) == [path]
    assert len(corpus.recordings()) == 8
    assert verify(corpus).lost == [path]
    assert not file.exists()
    assert len(corpus.recordings()) == 7
    assert verify(corpus).is_clean
    label(music, corpus.path)
    assert contents(corpus.path) == whole


def test_a_lost_manifest_is_rebuilt_from_the_recordings(
    corpus: Corpus, label: Label, music: Path
) -> None:
    whole = contents(corpus.path)
    corpus.manifest.path.unlink()
    assert len(verify(corpus).adopted) == 8
    assert len(corpus.recordings()) == 8
    assert {row.path for row in corpus.rows()} == {None}
    assert verify(corpus).is_clean
    summary = label(music, corpus.path)
    assert summary.reused == 8
    assert contents(corpus.path) == whole


def test_lines_that_are_no_rows_are_dropped(corpus: Corpus) -> None:
    whole = contents(corpus.path)
    with corpus.manifest.path.open("ab") as file:
        file.write(b"nonsense\n\xff\n{}\n")
    assert verify(corpus).broken_lines == 3
    assert contents(corpus.path) == whole


def test_a_recording_that_was_labelled_anew_without_its_row_gets_it(
    corpus: Corpus, label: Label, music: Path, tmp_path: Path
) -> None:
    other = make_recipe(["other"])
    label(music, tmp_path / "other", made_by=other)
    newer = Corpus.open(tmp_path / "other").recording_path(file_of(corpus).stem)
    shutil.copy(newer, file_of(corpus))
    report = verify(corpus)
    assert report.mended == [song(corpus)]
    assert not report.lost
    row = next(row for row in corpus.rows() if row.path == song(corpus))
    assert row.labels_fingerprint == other.labels_fingerprint
    assert row.bytes == Path(song(corpus)).stat().st_size
    assert verify(corpus).is_clean


@pytest.mark.parametrize(
    "harm",
    [
        {"frames": 3},
        {"seconds": 0.5},
        {"front_end": "another"},
        {"labels_fingerprint": "another"},
        {"teachers": ()},
        {"statistics": {}},
        {"recording_bytes": 1},
    ],
)
def test_a_damaged_row_that_names_the_right_recording_is_mended(
    corpus: Corpus, harm: dict[str, Any]
) -> None:
    whole = contents(corpus.path)
    rows = {row.key: row for row in corpus.rows()}
    key = song(corpus)
    corpus.manifest.rewrite({**rows, key: replace(rows[key], **harm)}.values())
    assert verify(corpus).mended == [key]
    assert contents(corpus.path) == whole


def test_a_file_in_the_wrong_place_is_not_taken_for_another(corpus: Corpus) -> None:
    shutil.copy(file_of(corpus, "song1.wav"), file_of(corpus))
    assert verify(corpus).damaged == [song(corpus)]


def test_a_file_in_the_wrong_place_is_damaged_whatever_its_row_says(corpus: Corpus) -> None:
    rows = {row.key: row for row in corpus.rows()}
    ours, other = (rows[song(corpus, name)] for name in ("song0.wav", "song1.wav"))
    shutil.copy(file_of(corpus, "song1.wav"), file_of(corpus))
    wrong = replace(ours, recording_sha256=other.recording_sha256)
    corpus.manifest.rewrite({**rows, wrong.key: wrong}.values())
    assert verify(corpus).damaged == [wrong.key]


def test_changed_audio_is_seen_if_asked_for(corpus: Corpus) -> None:
    path = song(corpus)
    soundfile.write(path, tone(2, 77), 22_050)
    assert verify(corpus, repair=False).is_clean
    report = verify(corpus, repair=False, audio=True)
    assert report.changed_audio == [path]
    Path(path).unlink()
    assert verify(corpus, repair=False, audio=True).is_clean


def test_what_was_left_out_on_purpose_does_not_come_back(
    corpus: Corpus, label: Label, music: Path
) -> None:
    label(music, corpus.path, bounds=Bounds(min_seconds=3.0))
    assert verify(corpus).is_clean
    assert len(corpus.recordings()) == 4


def test_the_recording_of_changed_audio_does_not_come_back(
    corpus: Corpus, label: Label, music: Path, tmp_path: Path
) -> None:
    soundfile.write(song(corpus), tone(2, 77), 22_050)
    verify(corpus, audio=True)
    assert verify(corpus).is_clean
    label(music, corpus.path)
    label(music, tmp_path / "fresh")
    assert contents(corpus.path) == contents(tmp_path / "fresh")


def test_left_over_files_are_removed(corpus: Corpus) -> None:
    part = file_of(corpus).with_name(".chordtool-x.part")
    part.write_bytes(b"half")
    assert verify(corpus, repair=False).leftovers == [str(part)]
    assert part.exists()
    verify(corpus)
    assert not part.exists()


def test_a_corpus_that_is_being_labelled_is_not_repaired(corpus: Corpus) -> None:
    with Claims(corpus.claims_folder) as theirs:
        theirs.take("x")
        with pytest.raises(CorpusError, match="is labelling"):
            verify(corpus)
        assert verify(corpus, repair=False).is_clean


def test_info_counts_what_there_is(corpus: Corpus, label: Label, music: Path) -> None:
    (music / "empty1.wav").touch()
    (music / "empty2.wav").write_bytes(b"x")
    shutil.copy(music / "song0.wav", music / "copy.wav")
    label(music, corpus.path)
    info = describe_corpus(corpus)
    document = info.to_dict()
    assert (info.files, info.labelled, len(info.failures)) == (11, 9, 2)
    assert sum(info.reasons.values()) == 2
    assert document["recordings"] == 8
    assert info.bytes_on_disk == sum(p.stat().st_size for p in corpus.path.rglob("*.safetensors"))
    assert sum(document["confidence_histogram"]) == info.totals.frames
    assert sum(document["roots"].values()) <= info.totals.frames
    label(music / "below", corpus.path, made_by=make_recipe(["other"]))
    after = describe_corpus(Corpus.open(corpus.path))
    assert (after.labelled, after.outdated) == (4, 5)


def at_the_end(act: Callable[[], object]) -> Callable[[int, int], None]:
    """Lets something happen when every recording has been checked."""

    def on_row(done: int, total: int) -> None:
        if done == total:
            act()

    return on_row


def test_what_a_run_writes_meanwhile_counts(corpus: Corpus, label: Label, music: Path) -> None:
    file_of(corpus, "song7.wav").unlink()

    def go_on() -> None:
        soundfile.write(music / "new.wav", tone(2, 77), 22_050)
        soundfile.write(music / "song0.wav", tone(2, 78), 22_050)
        (music / "bad.wav").write_bytes(b"nonsense")
        label(music, corpus.path)

    assert verify(corpus, on_row=at_the_end(go_on)).missing
    rows = {Path(row.path or "").name: row.status for row in corpus.rows()}
    assert len(rows) == 10
    assert rows["new.wav"] == rows["song0.wav"] == rows["song7.wav"] == "labelled"
    assert rows["bad.wav"] == "failed"
    assert verify(corpus).is_clean


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b""), Path.unlink])
def test_a_recording_that_was_made_anew_meanwhile_stays(
    corpus: Corpus, label: Label, music: Path, harm: Callable[[Path], None]
) -> None:
    whole = contents(corpus.path)
    harm(file_of(corpus))
    report = verify(corpus, on_row=at_the_end(lambda: label(music, corpus.path)))
    assert report.lost == [song(corpus)]
    assert contents(corpus.path) == whole


def test_a_recording_that_somebody_makes_anew_is_left_to_them(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(corpus)
    flip(file)
    monkeypatch.setattr(Claims, "others", lambda self: False)  # they come right after
    with Claims(corpus.claims_folder) as theirs:
        theirs.take(file.stem)
        verify(corpus)
    assert file.exists()


def test_a_run_that_began_meanwhile_is_not_disturbed(corpus: Corpus) -> None:
    file_of(corpus).unlink()
    part = file_of(corpus).with_name(".chordtool-x.part")
    part.write_bytes(b"half")
    before = contents(corpus.path)
    with Claims(corpus.claims_folder) as theirs:
        with pytest.raises(CorpusError, match="is labelling"):
            verify(corpus, on_row=at_the_end(lambda: theirs.take("x")))
        theirs.release("x")
    assert contents(corpus.path) == before


def test_a_damaged_recording_whose_audio_nobody_knows_is_removed(corpus: Corpus) -> None:
    corpus.manifest.path.unlink()
    verify(corpus)
    (first, *_) = corpus.rows()
    file = corpus.recording_path(first.audio_sha256)
    flip(file)
    assert verify(corpus).damaged == [first.audio_sha256]
    assert not file.exists()
    assert verify(corpus).is_clean


def test_a_corpus_without_a_folder_for_claims_is_repaired(corpus: Corpus) -> None:
    shutil.rmtree(corpus.claims_folder)
    flip(file_of(corpus))
    assert verify(corpus).damaged
    assert verify(corpus).is_clean
