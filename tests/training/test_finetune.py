from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chordtool.corpus import Corpus
from chordtool.errors import ModelError, TrainingError, UsageError
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.models.onnx import OnnxModel
from chordtool.models.students import build
from chordtool.models.windows import Windows
from chordtool.training import checkpoint, runs
from chordtool.training.config import FinetuneConfig, TrainConfig
from chordtool.training.config_file import resolve
from chordtool.training.data import Segments, Source
from chordtool.training.distill import distill
from chordtool.training.finetune import finetune
from chordtool.training.progress import Silent
from chordtool.training.split import read_split, split_songs
from chordtool.training.state import ALL_EPOCHS, Outcome, RunState
from tests.training.made import (
    CARD,
    SMALL,
    distill_config,
    make_corpus,
    make_songs,
    make_student,
    write_song,
)

TINY = {**SMALL, "batch_size": 4, "epochs": 1}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_songs(tmp_path_factory.mktemp("finetune") / "songs", n=5, seconds=2.4)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"))


def configured(songs: Path, **settings: Any) -> FinetuneConfig:
    given = {**TINY, "labels": (str(songs),), "kd_alpha": 0.0, **settings}
    return resolve(FinetuneConfig, given)


def test_from_scratch_trains_on_labels_with_exact_pitch_shift(songs: Path, tmp_path: Path) -> None:
    outcome = finetune(configured(songs, from_scratch=True), tmp_path / "run")
    assert outcome.finished == ALL_EPOCHS
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.architecture == "btc"
    assert card.front_end.n_bins == 144
    assert card.training["recipe"]["pitch_high"] == 6
    assert (tmp_path / "run" / "report.html").exists()
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["command"] == "finetune"


def test_a_student_goes_on_from_its_weights_with_a_teacher_beside_it(
    songs: Path, student: Path, tmp_path: Path
) -> None:
    setting = configured(
        songs, student=str(student), kd_alpha=0.3, teacher=(str(student / "student.onnx"),), lr=0.0
    )
    outcome = finetune(setting, tmp_path / "run")
    assert outcome.state.history[0]["train_loss"] > 0
    card, weights = checkpoint.load_checkpoint(tmp_path / "run")
    _, before = checkpoint.load_checkpoint(student)
    assert all(torch.equal(weights[k], before[k]) for k in before)  # lr is 0
    assert (card.front_end.mean, card.front_end.std) == (-5.0, 2.5)
    assert card.training["parent"] == str(student)
    posteriors = list((tmp_path / "run" / "cache").rglob("*.safetensors"))
    assert len(posteriors) == 10  # features and posteriors of five songs


@pytest.mark.parametrize(
    ("given", "frames", "context"), [(0, 24, 4), (24, 24, 4), (12, 12, 2), (3, 3, 0)]
)
def test_a_student_hears_as_many_frames_as_before_unless_told_otherwise(
    songs: Path, student: Path, tmp_path: Path, given: int, frames: int, context: int
) -> None:
    card, weights = checkpoint.load_checkpoint(student)
    card = replace(card, segment_frames=24, windows=Windows(4))
    checkpoint.save_checkpoint(tmp_path / "before.safetensors", weights, card)
    setting = configured(songs, student=str(tmp_path / "before.safetensors"), segment_frames=given)
    finetune(setting, tmp_path / "run")
    after, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert (after.segment_frames, after.windows.context_frames) == (frames, context)
    assert resolve(FinetuneConfig, {}, tmp_path / "run").segment_frames == frames
    assert finetune(setting, tmp_path / "run").finished == ALL_EPOCHS  # the same run, not another


def test_from_scratch_a_student_hears_ten_seconds(songs: Path, tmp_path: Path) -> None:
    finetune(configured(songs, from_scratch=True, segment_frames=0), tmp_path / "run")
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.segment_frames == 108


def test_a_corpus_is_replayed_beside_the_labels(songs: Path, student: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", n=3, frames=24)
    setting = configured(songs, student=str(student), replay=(str(corpus),), replay_share=0.5)
    finetune(setting, tmp_path / "run")
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert len(split["validation"]) == 1
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert [d["name"] for d in card.training["data"]] == ["songs", "corpus"]


def test_the_teachers_path_is_learnt_where_it_is_asked_for(
    songs: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both stages, of corpora alone."""
    corpus = make_corpus(tmp_path / "corpus", n=3, frames=24)
    found: list[list[int]] = []

    def looked_at(config: TrainConfig, sources: list[Source], *rest: Any, **more: Any) -> Outcome:
        labels = [t.labels for t in sources[-1].tracks if t.labels is not None]
        found.append([len(np.unique(frames)) for frames in labels])
        return Outcome(ALL_EPOCHS, -1.0, 0, RunState(), rest[0].card)

    monkeypatch.setattr(runs, "execute", looked_at)
    told: list[list[tuple[int, int]]] = []

    class Ears(Silent):
        def prepared(self, done: int, total: int) -> None:
            told[-1].append((done, total))

    for cost in (0.0, 1e4):
        told.append([])
        alone = distill_config(corpus, path_cost=cost)
        distill(alone, tmp_path / f"distilled-{cost}", listener=Ears())
        told.append([])
        replaying = configured(
            songs, student=str(student), replay=(str(corpus),), path_cost=cost, kd_on="replay"
        )
        finetune(replaying, tmp_path / f"finetuned-{cost}", listener=Ears())
    # At such a price nobody changes.
    assert found == [[], [], [1, 1, 1], [1, 1, 1]]
    # It takes its time, and says so; stage 2 has five songs of its own to listen to.
    paths, own = [(k, 3) for k in (1, 2, 3)], [(k, 5) for k in (1, 2, 3, 4, 5)]
    assert told == [[], own, paths, own + paths]


def test_the_name_of_a_file_need_not_be_text(tmp_path: Path) -> None:
    songs = make_songs(tmp_path / "songs", n=3, seconds=1.2)
    odd = os.fsdecode(b"odd\xff")
    try:
        for suffix in (".wav", ".lab"):
            (songs / f"song-0{suffix}").rename(songs / f"{odd}{suffix}")
    except OSError:
        pytest.skip("file names are text here")
    outcome = finetune(configured(songs, from_scratch=True), tmp_path / "run")
    assert outcome.finished == ALL_EPOCHS
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert odd in [song for part in split.values() for song in part]


def test_replay_has_its_share_of_what_is_trained_on(
    tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Songs that validate are no part of an epoch."""
    (tmp_path / "labelled").mkdir()
    for number in range(8):
        write_song(tmp_path / "labelled" / f"mine-{number}", [1, 0], 4.0)
    corpus = make_corpus(tmp_path / "corpus", n=12, frames=60)
    setting = configured(
        tmp_path / "labelled", student=str(student), replay=(str(corpus),), replay_share=0.5,
        validation_share=0.5,
    )  # fmt: skip
    shares = []

    def looked_at(
        config: TrainConfig, sources: list[Source], start: runs.Start, *rest: Any, **more: Any
    ) -> Outcome:
        train = Segments(split_songs(sources, config).train, config, start.card.front_end)
        names = [track.song for track in train.tracks]
        drawn = [names[owner] for owner in train.epoch(0).owner]
        shares.append(sum(not name.startswith("mine") for name in drawn) / len(drawn))
        return Outcome(ALL_EPOCHS, -1.0, 0, RunState(), start.card)

    monkeypatch.setattr(runs, "execute", looked_at)
    finetune(setting, tmp_path / "run")
    assert shares == [pytest.approx(0.5, abs=0.06)]


def test_the_teacher_may_stand_beside_the_replayed_recordings_alone(
    songs: Path, student: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "corpus", n=3, frames=24)
    shared: dict[str, Any] = {
        "student": str(student), "kd_alpha": 0.3, "kd_on": "replay", "teacher": ("nobody",),
    }  # fmt: skip
    # Of the teacher, who does not exist, nothing is asked: the corpus has its posteriors.
    finetune(configured(songs, replay=(str(corpus),), **shared), tmp_path / "taught")
    assert checkpoint.load_state(tmp_path / "taught" / checkpoint.STATE)[0]["progress"]["history"]
    weights = [checkpoint.load_checkpoint(tmp_path / "taught")[1]]
    for name, kd_alpha in (("untaught", 0.0), ("again", 0.3)):
        setting = configured(songs, replay=(str(corpus),), **{**shared, "kd_alpha": kd_alpha})
        finetune(setting, tmp_path / name)
        weights.append(checkpoint.load_checkpoint(tmp_path / name)[1])
    taught, untaught, again = ({k: w[k] for k in sorted(w)} for w in weights)
    assert all(torch.equal(taught[k], again[k]) for k in taught)
    assert not all(torch.equal(taught[k], untaught[k]) for k in taught)


def test_a_corpus_that_has_the_audio_does_not_teach_where_it_should_not(
    student: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "corpus", n=4, frames=24)
    labels = tmp_path / "labels"
    labels.mkdir()
    for recording in Corpus.open(corpus).recordings():
        stem = Path(recording.row.path or "").stem
        (labels / f"{stem}.lab").write_text("0 1 C\n1 2 G\n")
    ends = {}
    said: list[str] = []

    class Ears(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    for name, settings in {
        "off": {"kd_alpha": 0.0},
        "alone": {"kd_alpha": 0.3, "kd_on": "replay", "teacher": ("nobody",)},
        "all": {"kd_alpha": 0.3, "kd_weighting": "plain", "teacher": ("toy",)},
    }.items():
        setting = configured(labels, student=str(student), audio=(str(corpus),), **settings)
        outcome = finetune(setting, tmp_path / name, listener=Ears())
        ends[name] = outcome.state.history[0]["train_loss"]
    # Without a frame that has a teacher, the teacher's share of the loss is 0.
    assert ends["alone"] == pytest.approx(0.7 * ends["off"], rel=1e-6)
    assert ends["all"] != pytest.approx(ends["alone"], rel=1e-3)
    assert sum("leaves no recording a teacher" in text for text in said) == 1


def test_no_teacher_on_the_card_is_one_sentence(songs: Path, tmp_path: Path) -> None:
    module = build("btc", n_bins=144, n_classes=170)
    orphan = ModelCard("orphan", "btc", FrontEnd())
    checkpoint.save_checkpoint(tmp_path / "o.safetensors", module.state_dict(), orphan)
    setting = configured(songs, student=str(tmp_path / "o.safetensors"), kd_alpha=0.3)
    with pytest.raises(UsageError, match="names no teacher"):
        finetune(setting, tmp_path / "run")


def test_labels_are_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No labels"):
        finetune(FinetuneConfig(), tmp_path / "run")


def test_audio_folders_are_one_for_each_folder_of_labels(songs: Path, tmp_path: Path) -> None:
    setting = configured(songs, from_scratch=True, audio=("a", "b"))
    with pytest.raises(UsageError, match="1 folders of labels and 2 of audio"):
        finetune(setting, tmp_path / "run")


@pytest.mark.parametrize("lines", ["0 2 C\n1 3 D\n", "0 2 C\n2 1 D\n"])
def test_broken_labels_stop_before_anything_is_trained(tmp_path: Path, lines: str) -> None:
    songs = make_songs(tmp_path / "songs", n=3, seconds=0.5)
    (songs / "song-1.lab").write_text(lines)
    with pytest.raises(TrainingError, match=r"song-1\.lab"):
        finetune(configured(songs, from_scratch=True), tmp_path / "run")


@pytest.fixture
def no_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features take hours: what cannot be right is found before them."""

    def heard(*arguments: Any, **more: Any) -> None:
        raise AssertionError("features were computed")

    monkeypatch.setattr("chordtool.training.finetune.labelled_source", heard)


@pytest.mark.usefixtures("no_listening")
def test_from_scratch_with_an_unknown_architecture_is_one_sentence(
    songs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no student architecture"):
        finetune(configured(songs, from_scratch=True, student="rnn"), tmp_path / "run")


@pytest.mark.usefixtures("no_listening")
def test_weights_of_something_else_are_one_sentence(
    songs: Path, student: Path, tmp_path: Path
) -> None:
    _, weights = checkpoint.load_checkpoint(student / "best.safetensors")
    weights.pop(next(iter(weights)))
    file = tmp_path / "other.safetensors"
    checkpoint.save_checkpoint(file, weights, CARD)
    with pytest.raises(ModelError, match="do not fit"):
        finetune(configured(songs, student=str(file)), tmp_path / "run")


def test_labels_that_nobody_can_learn_are_one_sentence(tmp_path: Path) -> None:
    """Not a run with a loss of 0."""
    songs = make_songs(tmp_path / "songs", n=4, seconds=1.2)
    for file in songs.glob("*.lab"):
        file.write_text("0 1.2 X\n")
    with pytest.raises(TrainingError, match="a label that a student could learn"):
        finetune(configured(songs, from_scratch=True), tmp_path / "run")


def test_an_epoch_without_segments_is_one_sentence(songs: Path, tmp_path: Path) -> None:
    setting = configured(songs, from_scratch=True, weight=(1e-9,))
    with pytest.raises(TrainingError, match="no segments"):
        finetune(setting, tmp_path / "run")


# The split


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"train": 3}', '{"elsewhere": []}', "[" * 100_000, "{}",
        '{"validation": ["a", "b"], "test": ["b"]}', '{"validation": ["a"], "train": ["a"]}',
    ],
)  # fmt: skip
def test_a_broken_split_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(UsageError, match="not a split"):
        read_split(str(tmp_path / "split.json"))


def test_songs_of_a_split_that_are_not_here_are_named(songs: Path, tmp_path: Path) -> None:
    given = {"validation": ["song-1", "typo"], "test": ["nowhere"]}
    (tmp_path / "split.json").write_text(json.dumps(given))
    said: list[str] = []

    class Ears(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    setting = configured(songs, from_scratch=True, split=str(tmp_path / "split.json"))
    finetune(setting, tmp_path / "run", listener=Ears())
    assert any("nowhere, typo" in text for text in said)


def test_a_split_of_another_run_is_kept(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    for k in range(4):
        write_song(songs / f"song-{k}", [1, 85], 1.2)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"validation": ["song-2"], "test": ["song-0"]}))
    finetune(configured(songs, from_scratch=True, split=str(split)), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "split.json").read_text())
    assert found["validation"] == ["song-2"]
    assert found["train"] == ["song-1", "song-3"]


def test_an_exported_run_is_heard_by_the_song_s_path(songs: Path, tmp_path: Path) -> None:
    from chordtool.export import export_run

    finetune(configured(songs, from_scratch=True), tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "x.onnx")
    card = OnnxModel.from_file(tmp_path / "x.onnx").card
    assert card.training["command"] == "finetune"
