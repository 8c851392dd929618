"""The table of results: made up data go through it from end to end, and through a second start."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.corpus import Corpus
from chordtool.corpus.recipe import with_spare
from chordtool.errors import UsageError
from chordtool.evaluation import METRICS
from chordtool.frontend import FrontEnd
from chordtool.models import default
from chordtool.segments import Segment
from chordtool.training import slices
from chordtool.training.config import DistillConfig, FinetuneConfig
from chordtool.training.judge import labelled_segments
from chordtool.training.sources import read_codes
from recipes.results import __main__ as program
from recipes.results import material, noise, packing, plan, scoring
from recipes.results.report import CHECKS, report
from tests.training.made import make_corpus, make_songs

TINY = ["--songs", "4", "--epochs", "2", "--batch-size", "2", "--scale", "1e-9",
        "--device", "cpu", "--threads", "1"]  # fmt: skip


# Noise


@st.composite
def songs(draw: st.DrawFn) -> tuple[Segment, ...]:
    lengths = draw(st.lists(st.floats(0.05, 8.0), min_size=1, max_size=40))
    labels = draw(st.lists(st.sampled_from("CDEFG"), min_size=len(lengths), max_size=40))
    segments, time = [], 0.0
    for length, label in zip(lengths, labels, strict=False):
        segments.append(Segment(time, time + length, label))
        time += length
    return tuple(segments)


@given(songs(), st.integers(0, 9))
def test_noisy_boundaries_tile_the_song_and_stay_near(song: tuple[Segment, ...], seed: int) -> None:
    found = noise.noisy(song, "song", seed=seed, swapped=0.0)
    assert found[0].start == song[0].start
    assert found[-1].end == song[-1].end
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert all(s.end > s.start for s in found)
    if len(found) == len(song):
        assert [s.label for s in found] == [s.label for s in song]
        for new, old in zip(found, song, strict=True):
            assert abs(new.start - old.start) <= noise.REACH_SECONDS + 1e-9


@given(songs())
def test_a_tenth_of_the_labels_is_swapped_for_others_of_the_song(song: tuple[Segment, ...]) -> None:
    found = noise.noisy(song, "song", reach=0.0)
    changed = [k for k, (a, b) in enumerate(zip(song, found, strict=True)) if a.label != b.label]
    several = len({s.label for s in song}) > 1
    assert len(changed) == (round(0.1 * len(song)) if several else 0)
    assert {s.label for s in found} <= {s.label for s in song}


def test_noise_depends_on_the_song_and_the_seed_alone() -> None:
    song = tuple(Segment(float(k), k + 1.0, "CDEFG"[k % 5]) for k in range(40))
    assert noise.noisy(song, "a") == noise.noisy(song, "a")
    assert noise.noisy(song, "a") != noise.noisy(song, "b")
    assert noise.noisy(song, "a") != noise.noisy(song, "a", seed=1)


def test_gaps_between_labels_stay_gaps() -> None:
    song = (Segment(0.0, 4.0, "C"), Segment(8.0, 12.0, "D"))
    first, second = noise.noisy(song, "song", swapped=0.0)
    assert 3.5 <= first.end <= 4.5
    assert 7.5 <= second.start <= 8.5


# Songs


def test_songs_are_chosen_by_name_one_version_each_and_never_tested_ones() -> None:
    settings = plan.Settings(songs=10)
    stems = [f"{k:03}-s{seed}" for k in range(30) for seed in (2, 1)]
    found = material.choose_songs(stems, settings, {"003", "004"})
    chosen = found["train"] + found["validation"]
    assert len(chosen) == 10
    assert len(found["validation"]) == 2
    assert all(stem.endswith("-s1") for stem in chosen)
    assert not {"003-s1", "004-s1"} & set(chosen)
    hashes = [hashlib.sha256(material.song_of(stem).encode()).hexdigest() for stem in chosen]
    assert hashes == sorted(hashes)
    assert material.choose_songs(stems[::-1], settings, {"003", "004"}) == found
    with pytest.raises(UsageError, match="28 labelled songs, not 29"):
        material.choose_songs(stems, plan.Settings(songs=29), {"003", "004"})


# Rows


def test_the_table_costs_2_920_000_segments_of_btc() -> None:
    assert 2_890_000 < plan.cost(plan.ROWS, plan.Settings()) < 2_950_000


def test_a_row_brings_the_one_it_starts_from() -> None:
    assert [row.name for row in plan.chosen(["2e1d-stage2"])] == ["2e1d-stage1", "2e1d-stage2"]
    with pytest.raises(UsageError, match="no row 'btc-stage3'"):
        plan.chosen(["btc-stage3"])


def _configured(name: str) -> DistillConfig | FinetuneConfig:
    settings = plan.Settings(running={"device": "cpu"})
    row = plan.BY_NAME[name]
    return plan.configure(row, settings, Path("data"), Path("corpus"), Path("runs"))


def test_rows_are_the_papers_stages() -> None:
    stage_1, baseline = _configured("2e1d-stage1"), _configured("btc-baseline")
    assert isinstance(stage_1, DistillConfig)
    assert (stage_1.student, stage_1.kd_alpha, stage_1.pitch_high) == ("2e1d", 0.5, 6)
    assert isinstance(baseline, FinetuneConfig)
    assert (baseline.from_scratch, baseline.pitch_low, baseline.pitch_high) == (True, -5, 6)
    for name, alpha, weighting in (
        ("btc-stage2", 0.3, "selective"),
        ("btc-stage2-plain", 0.3, "plain"),
        ("btc-stage2-off", 0.0, "selective"),
    ):
        config = _configured(name)
        assert (config.kd_alpha, config.kd_weighting, config.temperature) == (alpha, weighting, 3.0)
        assert config.student == str(Path("runs/btc-stage1"))
        assert (config.schedule, config.stride, config.device) == ("cosine", 54, "cpu")
        assert (config.pitch_low, config.pitch_high) == (-5, 6)
    unshifted = _configured("btc-stage2-unshifted")
    assert (unshifted.pitch_low, unshifted.pitch_high) == (0, 0)


def test_what_sounds_longer_is_shifted_too() -> None:
    for name in ("2e1d-augment-sustain", "2e1d-stage2-sustain", "btc-stage2-sustain"):
        config = _configured(name)
        assert (config.sustain, config.pitch_low, config.pitch_high) == (0.12, -5, 6)
    assert _configured("btc-stage2").sustain == 0.0


def test_the_optimiser_is_adamw_unless_a_row_compares() -> None:
    muon = {
        row.name for row in plan.ROWS if row.segments and _configured(row.name).optimiser == "muon"
    }
    assert muon == {"btc-muon", "2e1d-muon", "btc-stage2-muon", "2e1d-stage2-muon"}


def test_two_stages_start_from_the_row_of_stage_1() -> None:
    assert plan.BY_NAME["btc-stage2-sustain"].start == "btc-stage1"


def test_few_recordings_are_repeated_until_an_epoch_is_full() -> None:
    config = plan.seen_often_enough(_configured("btc-10-off"), n_frames=54 * 200)
    assert config.weight == (4.0,)  # 560 segments an epoch, 180 are there for sure


# End to end


def _write_labels(corpus: Corpus, folder: Path, numbers: range) -> None:
    folder.mkdir()
    recordings = material.by_stem(corpus)
    for number in numbers:
        recording = recordings[f"song-{number}"]
        edges = corpus.front_end.frame_edges(recording.frames, recording.seconds)
        segments = labelled_segments(recording.load().labels, edges)
        lines = (f"{s.start:.6f}\t{s.end:.6f}\t{s.label}\n" for s in segments)
        (folder / f"song-{number}.lab").write_text("".join(lines))


@pytest.fixture(scope="module")
def given_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, labelled songs and test songs whose features and posteriors are there already."""
    root = tmp_path_factory.mktemp("table")
    make_corpus(root / "corpus", 4, 60, with_spare(FrontEnd(), 6))
    data = root / "out" / "data"
    data.mkdir(parents=True)
    songs = make_corpus(data / "labelled", 4, 60, with_spare(FrontEnd(), 6), seed=1)
    tested = make_corpus(data / "test", 8, 60, seed=2)
    _write_labels(Corpus.open(songs), root / "labels", range(4))
    _write_labels(Corpus.open(tested), root / "tested", range(6, 8))
    return root


def _start(root: Path, *more: str, out: str = "out") -> int:
    where = ["--out", str(root / out), "--corpus", str(root / "corpus"),
             "--labels", str(root / "labels"), "--test", str(root / "tested")]  # fmt: skip
    return program.main([*where, *TINY, *more])


def _row(root: Path, name: str, out: str = "out") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((root / out / "rows" / f"{name}.json").read_text())
    return document


def test_a_table_that_is_interrupted_goes_on_where_it_was(
    given_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Impatient(program.Display):
        def epoch(self, row: dict[str, Any]) -> None:
            if row["epoch"] == 1:
                os.kill(os.getpid(), signal.SIGINT)

    rows = ["--only", "lv+crema", "btc-stage2"]
    with monkeypatch.context() as patch:
        patch.setattr(program, "Display", Impatient)
        assert _start(given_data, *rows) == 130
    assert not (given_data / "out/rows/btc-stage1.json").exists()
    assert _start(given_data, *rows) == 0
    err = capsys.readouterr().err
    assert "Going on in epoch 2, batch 2" in err
    stage_1, stage_2 = _row(given_data, "btc-stage1"), _row(given_data, "btc-stage2")
    for document in (stage_1, stage_2):
        assert document["training"]["epochs"] == 2
        assert document["songs"] == 2
        assert {*METRICS, "acqa"} <= document["scores"].keys()
    assert stage_2["method"]["kd_alpha"] == 0.3
    assert (given_data / "out/models/btc-stage2.onnx").exists()
    teacher = _row(given_data, "lv+crema")
    assert teacher["title"] == "teachers averaged: toy", "it says who labelled, not who should"
    assert teacher["scores"]["mean"]["value"] > 0.9, "it is nearly always right"

    # As a row looks that was made before a setting came to be.
    older = _row(given_data, "btc-stage1")
    del older["method"]["sustain"]
    (given_data / "out/rows/btc-stage1.json").write_text(json.dumps(older))
    written = (given_data / "out/rows/btc-stage2.json").stat().st_mtime_ns
    assert _start(given_data, *rows) == 0
    assert (given_data / "out/rows/btc-stage2.json").stat().st_mtime_ns == written

    capsys.readouterr()
    assert _start(given_data, *rows, "--lr-stage-2", "0.01") == 1
    assert "btc-stage2 was made with other settings: lr" in capsys.readouterr().err

    assert _start(given_data, "--report") == 0
    text = capsys.readouterr().out
    assert re.search(r"^\| `btc-stage2` (\| \d+\.\d ){7}\|", text, re.MULTILINE)
    assert "not run (btc-baseline)" in text


def test_labels_are_written_once_in_shares_and_noisy(given_data: Path) -> None:
    places = material.Places(
        given_data / "out", given_data / "corpus", given_data / "labels", given_data / "tested"
    )
    settings = plan.Settings(songs=4)
    songs = material.make_labels(places, settings)
    folder = places.data / "labels"
    counts = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert counts == {"100": 4, "50": 3, "10": 2, "noisy": 4}
    stem = songs["train"][0]
    clean, wrong = ((folder / kind / f"{stem}.lab").read_text() for kind in ("100", "noisy"))
    assert clean == (places.labels / f"{stem}.lab").read_text()
    assert clean != wrong
    with pytest.raises(UsageError, match="chosen with other settings"):
        material.make_labels(places, plan.Settings(songs=5))


def test_packed_data_are_enough_on_another_machine(
    given_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(program, "pack", functools.partial(packing.pack, limit=20_000))
    assert _start(given_data, "--pack", str(tmp_path / "packed")) == 0
    archives = sorted((tmp_path / "packed").iterdir())
    assert [a.name for a in archives][:2] == ["table-00.pack", "table-01.pack"]
    assert len(capsys.readouterr().out.splitlines()) == len(archives)
    for archive in archives:
        assert _start(tmp_path, "--unpack", str(archive), out="there") == 0
    there = tmp_path / "there" / "data"
    assert not [p for p in there.rglob("*") if p.suffix in (".flac", ".wav", ".opus")]
    for name in ("labelled", "test", "corpus"):
        before = given_data / "corpus" if name == "corpus" else given_data / "out/data" / name
        for recording in Corpus.open(before).recordings():
            copy = Corpus.open(there / name).recording_path(recording.audio_sha256)
            if name != "corpus":
                assert copy.read_bytes() == recording.path.read_bytes()
                continue
            features, labels = slices.rows(copy, ("features", "labels"), 0, recording.frames)
            stored = recording.load()
            assert np.array_equal(labels, stored.labels)
            rounded = np.abs(features.astype(np.float32) - stored.features.astype(np.float32))
            assert rounded.max() < 0.18
            # What teaches from them is read as before.
            assert read_codes(copy, 0, recording.frames).shape == (recording.frames, 170)
    assert _start(tmp_path, "--only", "lv+crema", out="there") == 0
    assert _start(given_data, "--only", "lv+crema") == 0
    assert _row(tmp_path, "lv+crema", "there")["scores"] == _row(given_data, "lv+crema")["scores"]


def test_scores_from_features_are_those_from_audio(tmp_path: Path) -> None:
    tested = make_songs(tmp_path / "tested", n=2, seconds=3.0)
    places = material.Places(tmp_path / "out", tmp_path, tmp_path, tested)
    corpus = material.tested_corpus(places, plan.Settings(averaged=("default",)), jobs=1)
    model = tmp_path / "default.onnx"
    model.write_bytes(default.read())
    found = scoring.score_student(model, corpus, material.references(places))
    heard = scoring.score_teacher("default", tested, tested, jobs=1)
    for metric in METRICS:
        assert found[metric].value == pytest.approx(heard[metric].value, abs=0.05)


# The report


def _document(name: str, mean: float, acqa: float = 0.3) -> dict[str, Any]:
    score = {"value": mean, "low": mean - 0.1, "high": mean + 0.1}
    scores = dict.fromkeys((*METRICS, "mean"), score) | {"acqa": {**score, "value": acqa}}
    return {"row": name, "title": name, "songs": 28, "seconds": 60.0, "scores": scores,
            "method": {}, "training": {}}  # fmt: skip


def test_verdicts_follow_from_the_scores() -> None:
    rows = {
        "lv": _document("lv", 0.80),
        "btc-baseline": _document("btc-baseline", 0.79, acqa=0.30),
        "btc-stage1": _document("btc-stage1", 0.793),
        "btc-stage2": _document("btc-stage2", 0.816, acqa=0.36),
    }
    verdicts = {(c.subject, c.must_show): c.line(rows)[2:] for c in CHECKS}
    assert verdicts["BTC after stage 1", "at least 99 % of the teacher's mean"] == ["99.1 %", "met"]
    assert verdicts["BTC after stage 2, mean", "at least 2.5 points over its baseline"] == [
        "+2.60", "met",
    ]  # fmt: skip
    above = "above the teacher on every metric by at least 1.1 points"
    assert verdicts["BTC after stage 2", above][1] == "met"
    with_sustain = verdicts["BTC after stage 2 with `sustain`", above]
    assert with_sustain == ["", "not run (btc-stage2-sustain)"]
    assert verdicts["BTC after stage 2, ACQA", "at least 7 points over its baseline"] == [
        "+6.00", "missed",
    ]  # fmt: skip
    level = verdicts["2E1D after stage 2", "level with the teacher"]
    assert level == ["", "not run (2e1d-stage2)"]
    assert "28 test songs, 1 minutes" in report(rows)


@pytest.mark.parametrize(("mean", "verdict"), [(0.81, "met"), (0.796, "met"), (0.794, "missed")])
def test_a_student_is_level_down_to_half_a_point_below_its_teacher(
    mean: float, verdict: str
) -> None:
    rows = {"lv": _document("lv", 0.80), "2e1d-stage2": _document("2e1d-stage2", mean)}
    (level,) = (c for c in CHECKS if c.subject == "2E1D after stage 2" and "level" in c.must_show)
    assert level.line(rows)[-1] == verdict


@pytest.mark.parametrize(("mean", "verdict"), [(0.812, "met"), (0.810, "missed")])
def test_a_student_is_above_its_teacher_by_the_papers_least_lead(mean: float, verdict: str) -> None:
    rows = {"lv": _document("lv", 0.80), "btc-stage2": _document("btc-stage2", mean)}
    (above,) = (c for c in CHECKS if c.subject == "BTC after stage 2" and "1.1" in c.must_show)
    assert above.line(rows)[-1] == verdict


@pytest.mark.parametrize(
    ("student", "statistic", "least"),
    [("BTC", "mean", "2.5"), ("2E1D", "mean", "2.67"), ("BTC", "ACQA", "7"), ("2E1D", "ACQA", "7")],
)
def test_gains_over_the_baselines_are_the_papers(student: str, statistic: str, least: str) -> None:
    shown = {c.subject: c.must_show for c in CHECKS}
    subject = f"{student} after stage 2, {statistic}"
    assert shown[subject] == f"at least {least} points over its baseline"


def test_the_report_of_nothing_says_that_nothing_was_run() -> None:
    text = report({})
    assert "met |" not in text
    assert "not run (lv, crema, lv+crema)" in text
