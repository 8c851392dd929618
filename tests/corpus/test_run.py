from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from chordtool.corpus import labelling
from chordtool.corpus import run as running
from chordtool.corpus.claims import Claims
from chordtool.corpus.folder import Corpus
from chordtool.corpus.recipe import Recipe, make_recipe, parse_front_end
from chordtool.corpus.run import Bounds, Summary, label_corpus, plan
from chordtool.corpus.verify import verify
from chordtool.executors import ProcessExecutor
from chordtool.files import sha256_of
from tests.waiting import wait_until

from .conftest import Label, contents, finish, rows_written, start, tone


def claimed_since(corpus: Path, begun: float) -> bool:
    for claim in (corpus / "claims").glob("*.claim"):
        with contextlib.suppress(FileNotFoundError):  # it was given back just now
            if claim.stat().st_mtime >= begun:
                return True
    return False


def test_every_recording_becomes_a_row_and_a_file(
    label: Label, music: Path, tmp_path: Path
) -> None:
    summary = label(music, tmp_path / "c")
    corpus = Corpus.open(tmp_path / "c")
    recordings = corpus.recordings()
    assert summary.count("labelled") == len(recordings) == 8
    assert summary.failures == []
    assert {r.row.path for r in recordings} == {str(p) for p in music.rglob("*.wav")}
    for recording in recordings:
        assert recording.path.stem == sha256_of(Path(recording.row.path or ""))
        assert sha256_of(recording.path) == recording.row.recording_sha256
        assert recording.open().is_intact()
        assert len(recording.load().labels) == recording.frames
        assert recording.posteriors(0, 5).shape == (5, 170)
    assert summary.labelled_seconds == pytest.approx(sum(r.seconds for r in recordings))
    assert list((tmp_path / "c" / "claims").glob("*.claim")) == []


def test_a_second_run_does_nothing(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(music, tmp_path / "c")
    before = contents(tmp_path / "c")
    monkeypatch.setattr(running, "sha256_of", None)  # not even a hash
    summary = label(music, tmp_path / "c")
    assert (summary.unchanged, summary.labelled_seconds) == (8, 0)
    assert contents(tmp_path / "c") == before


def test_a_recording_that_was_cut_short_is_labelled_again(
    label: Label, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    whole = contents(tmp_path / "c")
    recording = next((tmp_path / "c" / "recordings").rglob("*.safetensors"))
    recording.write_bytes(recording.read_bytes()[:-10])
    assert label(music, tmp_path / "c").unchanged == 7
    assert contents(tmp_path / "c") == whole


def test_the_same_audio_is_labelled_once(label: Label, music: Path, tmp_path: Path) -> None:
    for k in range(3):
        shutil.copy(music / "song0.wav", music / f"copy{k}.wav")
    (music / "link.wav").symlink_to(music / "song0.wav")
    summary = label(music, tmp_path / "c")
    assert summary.count("labelled") == 12
    assert summary.reused == 4
    assert len(Corpus.open(tmp_path / "c").recordings()) == 8
    assert summary.totals().recordings == 8


def test_processes_make_the_same_corpus(label: Label, music: Path, tmp_path: Path) -> None:
    label(music, tmp_path / "one")
    executor = ProcessExecutor(2)
    try:
        label(music, tmp_path / "two", executor=executor)
    finally:
        executor.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_start_up_is_paid_once_a_worker(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = tmp_path / "loads"
    monkeypatch.setenv("TOY_LOADS", str(loads))
    executor = ProcessExecutor(2)
    try:
        label(music, tmp_path / "c", executor=executor)
    finally:
        executor.close()
    pids = loads.read_text().split()
    assert len(pids) == len(set(pids)) <= 2


def test_a_corpus_killed_at_random_moments_ends_the_same(
    label: Label, music: Path, toy: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "whole")
    chance = random.Random(7)
    broken = tmp_path / "broken"
    arguments = (music, "-o", broken, "-t", "toy", "-q", "-j")

    def start_and_kill(workers: int) -> None:
        begun, rows = time.time() - 1e-3, rows_written(broken)
        # One song for each process: however late the kill, there is something left to kill.
        process = start(*arguments, workers, TOY_SECONDS="0.4", TOY_SONGS="1")

        def is_under_way() -> bool:
            gets_on = workers == 1 or rows_written(broken) > rows
            return process.poll() is not None or (gets_on and claimed_since(broken, begun))

        wait_until(is_under_way, "a claim and, of two workers, a row", seconds=120)
        time.sleep(chance.uniform(0, 0.7))
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
        process.communicate()

    for workers in (1, 2, 1, 2, 1):  # seven songs at most
        start_and_kill(workers)
    assert 0 < len(Corpus.open(broken).recordings()) < 8
    finish(start(*arguments, 1))
    assert contents(broken) == contents(tmp_path / "whole")


def test_two_runs_on_one_folder_share_the_work(
    label: Label, music: Path, toy: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "one")
    heard = tmp_path / "heard"
    both = [
        start(music, "-o", tmp_path / "two", "-t", "toy", "-j", 1, "-q",
              TOY_SECONDS="0.3", TOY_HEARD=str(heard))
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        finish(process)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    lengths = {int(s * 22_050) for s in (1, 20)}  # of the trials
    songs = [n for _, n in map(str.split, heard.read_text().splitlines()) if int(n) not in lengths]
    assert sorted(songs) == sorted(set(songs))
    assert len(songs) == 8


def test_what_a_dead_run_claimed_is_not_lost(label: Label, music: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    (corpus / "claims").mkdir(parents=True)
    claim = corpus / "claims" / f"{sha256_of(music / 'song0.wav')}.claim"
    begun = time.monotonic()
    claim.write_text('{"host": "elsewhere", "pid": 1, "token": "x"}')
    summary = label(music, corpus, expiry_seconds=2)
    assert time.monotonic() - begun >= 1
    assert summary.count("labelled") == 8
    assert not claim.exists()


def test_what_another_run_does_meanwhile_is_taken_from_it(
    label: Label, recipe: Recipe, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "theirs")
    corpus = Corpus.create(tmp_path / "c", recipe.describe())
    song = str(music / "song0.wav")
    key = sha256_of(Path(song))

    class Theirs:
        """Waits until the other run has labelled it."""

        workers = 1

        def run(self, function, tasks):  # type: ignore[no-untyped-def]
            assert list(tasks) == []
            path = corpus.recording_path(key)
            path.parent.mkdir()
            shutil.copy(Corpus.open(tmp_path / "theirs").recording_path(key), path)
            rows, _ = Corpus.open(tmp_path / "theirs").manifest.read()
            corpus.manifest.append(rows[song])
            claims.release(key)
            return iter(())

        def close(self) -> None: ...

    with Claims(corpus.claims_folder) as claims:
        claims.take(key)
        summary = label_corpus(corpus, recipe, plan(corpus, [song]), Theirs())
    assert (summary.unchanged, summary.count("labelled"), summary.labelled_seconds) == (1, 1, 0)


def test_changed_audio_is_labelled_anew_and_nothing_else(
    label: Label, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    soundfile.write(music / "song0.wav", tone(3, 99), 22_050)
    summary = label(music, tmp_path / "c")
    assert summary.unchanged == 7
    assert summary.labelled_seconds == pytest.approx(3)
    row = summary.rows[str(music / "song0.wav")]
    assert row.audio_sha256 == sha256_of(music / "song0.wav")


def test_the_recording_of_audio_that_was_changed_goes_with_its_last_path(
    label: Label, music: Path, tmp_path: Path
) -> None:
    song, copy = music / "song0.wav", music / "copy.wav"
    copy.write_bytes(song.read_bytes())
    old = sha256_of(song)
    label(music, tmp_path / "c")
    corpus = Corpus.open(tmp_path / "c")
    soundfile.write(song, tone(2.5, 77), 22_050)
    label(music, tmp_path / "c")
    assert corpus.recording_path(old).exists()
    soundfile.write(copy, tone(2.5, 78), 22_050)
    label(music, tmp_path / "c")
    assert not corpus.recording_path(old).exists()
    assert verify(corpus).is_clean
    fresh = tmp_path / "fresh"
    label(music, fresh)
    assert contents(tmp_path / "c") == contents(fresh)


def test_touched_audio_is_hashed_and_not_labelled(
    label: Label, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    os.utime(music / "song0.wav", (1, 1))
    summary = label(music, tmp_path / "c")
    assert (summary.unchanged, summary.reused, summary.labelled_seconds) == (7, 1, 0)
    assert label(music, tmp_path / "c").unchanged == 8


def test_another_teacher_or_front_end_makes_the_corpus_of_that_teacher(
    label: Label, toy: Path, music: Path, tmp_path: Path
) -> None:
    other = make_recipe(["other"], front_end=parse_front_end("default+6"))
    label(music, tmp_path / "afresh", made_by=other)
    label(music, tmp_path / "c")
    label(music, tmp_path / "c", made_by=other)
    assert contents(tmp_path / "c") == contents(tmp_path / "afresh")


def test_a_half_relabelled_corpus_gives_what_is_current_only(
    label: Label, toy: Path, music: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "c")
    label(music / "below", tmp_path / "c", made_by=make_recipe(["other"]))
    corpus = Corpus.open(tmp_path / "c")
    assert len(corpus.recordings()) == 4
    assert len(corpus.rows()) == 8


def test_bounds_are_applied_without_decoding_again(
    label: Label, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = Bounds(min_seconds=3.0)
    summary = label(music, tmp_path / "c", bounds=bounds)
    assert (summary.count("labelled"), summary.count("skipped")) == (4, 4)
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "open_signals", None)
        again = label(music, tmp_path / "c", bounds=bounds)
        assert again.unchanged == 8
    assert label(music, tmp_path / "c").count("labelled") == 8


def test_shards_together_are_the_corpus(
    label: Label, music: Path, toy: Path, tmp_path: Path
) -> None:
    label(music, tmp_path / "one")
    for shard in ("1/2", "2/2"):
        finish(start(music, "-o", tmp_path / "two", "-t", "toy", "-q", "-j", 1, "--shard", shard))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_summaries_count_each_audio_once(label: Label, music: Path, tmp_path: Path) -> None:
    summary = label(music, tmp_path / "c")
    doubled = Summary(rows={**summary.rows})
    path, row = next(iter(summary.rows.items()))
    doubled.rows["/again"] = replace(row, path="/again")
    assert path != "/again"
    assert doubled.totals().to_dict() == summary.totals().to_dict()
