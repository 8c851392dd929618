from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chordtool.corpus import Corpus
from chordtool.corpus.recipe import with_spare
from chordtool.errors import ChordtoolError, TrainingError, UsageError
from chordtool.export import export
from chordtool.frontend import FrontEnd
from chordtool.locking import try_lock
from chordtool.models.card import ModelCard
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.training.config import DistillConfig
from chordtool.training.distill import distill
from chordtool.training.progress import Silent
from tests.training.made import SMALL, distill_config, make_corpus, make_songs, write_song

TINY = {"batch_size": 3, "segment_frames": 6, "stride": 6, "epochs": 2, "checkpoint_steps": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("distill") / "corpus", n=4, frames=12)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    distill(distill_config(corpus, **TINY), folder)
    return folder


def weights(folder: Path, name: str = checkpoint.LAST) -> dict[str, torch.Tensor]:
    return checkpoint.load_checkpoint(folder / name)[1]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_leaves_what_it_promises(whole: Path) -> None:
    assert {p.name for p in whole.iterdir()} == {
        "best.safetensors", "last.safetensors", "state.safetensors", "metrics.csv",
        "config.json", "split.json", "report.html", ".lock",
    }  # fmt: skip
    card, found = checkpoint.load_checkpoint(whole)
    student = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=170)
    checkpoint.load_weights(student, card, found)
    assert (card.name, card.architecture, card.teacher) == ("run", "btc", "toy")
    assert card.front_end.std > 0.1
    assert card.training["data"][0]["recordings"] == 3
    assert len(card.training["data"][0]["sha256"]) == 64
    assert 0 <= card.metrics["validation/majmin"] <= 1
    split = json.loads((whole / "split.json").read_text())
    assert len(split["train"]) == 3
    assert len(split["validation"]) == 1
    with (whole / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


@pytest.mark.parametrize("student", ["2e1d"])
def test_the_other_student_trains_too(corpus: Path, tmp_path: Path, student: str) -> None:
    setting = distill_config(corpus, **{**TINY, "epochs": 1, "student": student, "kd_alpha": 0.5})
    distill(setting, tmp_path / "run")
    assert checkpoint.load_checkpoint(tmp_path / "run")[0].architecture == student


def test_a_wider_corpus_serves_the_same_student(tmp_path: Path) -> None:
    wide = make_corpus(tmp_path / "c", n=4, frames=12, front_end=with_spare(FrontEnd(), 6))
    setting = distill_config(wide, **{**TINY, "epochs": 1, "pitch_low": -5, "pitch_high": 6})
    distill(setting, tmp_path / "run")
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.front_end.n_bins == 144
    assert card.front_end.fmin == FrontEnd().fmin


def test_another_front_end_is_one_sentence(tmp_path: Path) -> None:
    other = make_corpus(tmp_path / "c", n=4, frames=12, front_end=FrontEnd(hop_length=1024))
    with pytest.raises(TrainingError, match="front end of the student differ"):
        distill(distill_config(other, **TINY), tmp_path / "run")


def test_one_song_is_not_enough_and_says_so(tmp_path: Path) -> None:
    single = make_corpus(tmp_path / "c", n=1, frames=12)
    with pytest.raises(TrainingError, match="split is empty"):
        distill(distill_config(single, **TINY), tmp_path / "run")


def test_no_corpus_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No corpus"):
        distill(DistillConfig(), tmp_path / "run")


def test_a_folder_with_other_things_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="holds no run"):
        distill(distill_config(corpus, **TINY), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_run_that_left_half_its_first_file_can_be_taken_up(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / ".chordtool-abc.part").write_bytes(b'{"half')
    outcome = distill(distill_config(corpus, **{**TINY, "epochs": 1}), tmp_path)
    assert outcome.state.epoch == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_somebody_trains_in_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with try_lock(folder / ".lock") as held:
        assert held
        with pytest.raises(TrainingError, match="Another process trains"):
            distill(distill_config(corpus, **TINY), folder)
    assert not (folder / "config.json").exists()


def test_overwriting_starts_anew(corpus: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    setting = distill_config(corpus, **{**TINY, "seed": 7, "epochs": 1})
    with pytest.raises(TrainingError, match="other settings"):
        distill(setting, tmp_path / "run")
    outcome = distill(setting, tmp_path / "run", overwrite=True)
    assert outcome.state.epoch == 1


def test_a_run_is_not_lost_to_one_that_cannot_begin(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    """A typo beside --overwrite must not cost the weights of a week."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    before = sorted(p.name for p in folder.iterdir())
    other = make_corpus(tmp_path / "other", n=4, frames=12, front_end=FrontEnd(hop_length=1024))
    setting = distill_config(corpus, **TINY)
    for wrong in (
        replace(setting, corpus=(str(tmp_path / "typo"),)),
        replace(setting, corpus=(str(other),)),
        replace(setting, split=str(tmp_path / "typo.json")),
        replace(setting, validation_share=0.5, test_share=0.49),
    ):
        with pytest.raises(ChordtoolError):
            distill(wrong, folder, overwrite=True)
        assert sorted(p.name for p in folder.iterdir()) == before
    # A run's own split serves the one that replaces it.
    distill(replace(setting, epochs=1, split=str(folder)), folder, overwrite=True)


def test_a_run_with_other_songs_to_validate_it_does_not_go_on(corpus: Path, tmp_path: Path) -> None:
    """They were put aside for testing, and its split.json still says so."""
    parts = {"train": ["song-0", "song-1"], "validation": ["song-2"], "test": ["song-3"]}
    (tmp_path / "first.json").write_text(json.dumps(parts))
    swapped = {**parts, "validation": parts["test"], "test": parts["validation"]}
    (tmp_path / "second.json").write_text(json.dumps(swapped))
    setting = distill_config(corpus, **TINY, split=str(tmp_path / "first.json"))
    distill(replace(setting, max_minutes=1e-9), tmp_path / "run")
    with pytest.raises(TrainingError, match="recordings or labels changed"):
        distill(replace(setting, split=str(tmp_path / "second.json")), tmp_path / "run")
    # The same split by another name is no other one.
    assert distill(replace(setting, split=str(tmp_path / "run")), tmp_path / "run").finished


def test_what_is_misuse_is_said_before_anything_is_labelled(tmp_path: Path) -> None:
    songs = make_songs(tmp_path / "songs", n=1)
    setting = distill_config(songs, **TINY)
    for wrong in (
        replace(setting, split=str(tmp_path / "typo.json")),
        replace(setting, song_pattern="("),
        replace(setting, weight=(1.0, 2.0)),
        replace(setting, student="typo"),
    ):
        with pytest.raises(UsageError):
            distill(wrong, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_run_is_judged_when_it_is_over(corpus: Path, tmp_path: Path) -> None:
    for minutes, judged in ((1e-9, False), (0.0, True)):
        distill(distill_config(corpus, **{**TINY, "max_minutes": minutes}), tmp_path)
        assert (tmp_path / "report.html").exists() == judged


def test_a_run_without_its_state_begins_anew_and_is_judged_anew(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / checkpoint.STATE).unlink()
    distill(distill_config(corpus, **{**TINY, "seed": 7, "epochs": 1}), tmp_path / "run")
    assert "after 1 epochs" in (tmp_path / "run" / "report.html").read_text()
    assert "validation/majmin" in checkpoint.load_checkpoint(tmp_path / "run")[0].metrics


def test_a_broken_state_is_one_sentence(corpus: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    state = tmp_path / "run" / checkpoint.STATE
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(TrainingError, match="cannot go on") as caught:
        distill(distill_config(corpus, **TINY), tmp_path / "run")
    assert "--overwrite" in caught.value.hint


def test_a_folder_of_audio_is_labelled_first(tmp_path: Path) -> None:
    songs = make_songs(tmp_path / "songs", n=4, seconds=1.2)
    torch.manual_seed(0)
    card = ModelCard("teacher", "btc", FrontEnd())
    export(build("btc", n_bins=144, n_classes=170), card, tmp_path / "teacher.onnx")
    said: list[str] = []

    class Ears(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    teacher = (str(tmp_path / "teacher.onnx"),)
    setting = distill_config(songs, **{**TINY, "epochs": 1, "teacher": teacher, "pitch_high": 2})
    distill(setting, tmp_path / "run", listener=Ears())
    assert any("labelled by" in text and "label-corpus" in text for text in said)
    corpus = Corpus.open(tmp_path / "run" / "corpus" / "1")
    assert len(corpus.recordings()) == 4
    assert corpus.front_end == with_spare(FrontEnd(), 2)
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.teacher == "teacher"


def test_a_corpus_that_another_teacher_has_labelled_says_so(corpus: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Ears(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    for teacher in ("lv", "toy"):
        setting = distill_config(corpus, **{**TINY, "epochs": 1, "teacher": (teacher,)})
        distill(setting, tmp_path / teacher, listener=Ears())
    assert [text for text in said if "labelled already" in text] == [
        f"{corpus} is labelled already, by toy: it stays so."
    ]


def test_of_a_folder_of_audio_only_what_lies_there_is_learnt(tmp_path: Path) -> None:
    """Not what an earlier run of that name has labelled, nor what was deleted since."""
    for folder, chord in (("first", 1), ("second", 71)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            write_song(tmp_path / folder / f"{folder}-{number}", [chord, chord + number], 1.2)
    export(
        build("btc", n_bins=144, n_classes=170),
        ModelCard("teacher", "btc", FrontEnd()),
        tmp_path / "teacher.onnx",
    )
    settings = {**TINY, "epochs": 1, "teacher": (str(tmp_path / "teacher.onnx"),)}
    distill(distill_config(tmp_path / "first", **settings), tmp_path / "run")
    (tmp_path / "second" / "second-0.wav").unlink()
    distill(distill_config(tmp_path / "second", **settings), tmp_path / "run", overwrite=True)
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    learnt = sorted(song for part in split.values() for song in part)
    assert learnt == ["second-1", "second-2", "second-3"]


# In processes of their own


def arguments(corpus: Path, folder: Path, **settings: object) -> list[str]:
    options = {**SMALL, **TINY, **settings}
    found = [sys.executable, "-m", "chordtool", "distill", "--corpus", str(corpus), "-o",
             str(folder)]  # fmt: skip
    for name, value in options.items():
        found += ["--" + name.replace("_", "-"), str(value)]
    return found


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CHORDTOOL_CONFIG": ""}


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 900.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "it ended before it had begun"
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.01)


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_a_killed_run_goes_on_to_the_same_weights(
    corpus: Path, whole: Path, tmp_path: Path, delay: float
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        arguments(corpus, folder), env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    wait_for(folder / checkpoint.STATE, process)
    time.sleep(delay)
    process.kill()
    process.wait()
    checkpoint.load_state(folder / checkpoint.STATE)  # It is whole, whenever the kill came.
    again = subprocess.run(arguments(corpus, folder), env=ENVIRONMENT, capture_output=True)
    assert again.returncode == 0, again.stderr
    for name in (checkpoint.LAST, checkpoint.BEST):
        assert same(weights(whole, name), weights(folder, name))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_and_says_how_to_go_on(
    corpus: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    command = arguments(corpus, folder, epochs=100_000, checkpoint_steps=0)
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)
    wait_for(folder / checkpoint.STATE, process)
    time.sleep(0.5)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"the same command goes on" in said
    assert b"Traceback" not in said
    state, _, _ = checkpoint.load_state(folder / checkpoint.STATE)
    assert state["progress"]["finished"] == ""


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_two_processes_train_as_one(corpus: Path, tmp_path: Path, optimiser: str) -> None:
    settings = {**TINY, "batch_size": 4, "epochs": 1, "dropout": 0.0, "kd_alpha": 0.3,
                "lr": 1e-3, "schedule": "constant", "gain_db": 3.0,
                "optimiser": optimiser}  # fmt: skip
    one = distill(distill_config(corpus, **settings), tmp_path / "one")
    command = arguments(corpus, tmp_path / "two", **settings)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, *command[1:]], env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stderr
    _, ours = checkpoint.load_checkpoint(tmp_path / "one" / checkpoint.LAST)
    _, theirs = checkpoint.load_checkpoint(tmp_path / "two" / checkpoint.LAST)
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=2e-4), name
    with (tmp_path / "two" / "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    expected = one.state.history[0]
    for key in ("train_loss", "validation_loss", "validation_accuracy"):
        assert float(row[key]) == pytest.approx(expected[key], rel=2e-3)


def test_a_batch_that_two_processes_cannot_share_is_one_sentence(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="cannot be shared by 2"):
        distill(distill_config(corpus, **TINY), tmp_path / "run")


def test_a_device_that_is_not_there_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    for device in ("cuda:9", "nonsense"):
        with pytest.raises(UsageError, match="no device"):
            distill(distill_config(corpus, **{**TINY, "device": device}), tmp_path / "run")
