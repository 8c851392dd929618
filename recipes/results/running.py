"""One row: train, export, score, write down. A row that is written down is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from chordtool.errors import UsageError
from chordtool.evaluation import Scores
from chordtool.evaluation.report import scores_document
from chordtool.export import export_run
from chordtool.training.config import DistillConfig, FinetuneConfig
from chordtool.training.devices import place
from chordtool.training.distill import distill
from chordtool.training.finetune import finetune
from chordtool.training.progress import Listener
from chordtool.training.state import Outcome
from recipes.results import material
from recipes.results.plan import (
    AVERAGE,
    STAGE_1,
    TEACHER,
    Row,
    Settings,
    configure,
    seen_often_enough,
)
from recipes.results.rows import SCHEMA, read_row
from recipes.results.scoring import score_average, score_student, score_teacher


def run_row(
    row: Row, settings: Settings, places: material.Places, *, jobs: int, listener: Listener
) -> dict[str, Any]:
    """Carry a row out, or go on with it; what is done is not done again.

    Returns:
        what was written to ``rows/NAME.json``.

    Raises:
        UsageError: it was done, or begun, with other settings.
        ChordtoolError: its data, its training or its scoring failed.
        KeyboardInterrupt: training saved its state before.
    """
    file = places.rows / f"{row.name}.json"
    known = read_row(file)
    if row.segments == 0:
        if known is None:
            title, scores = _teacher_scores(row, settings, places, jobs)
            known = _write(file, row, title, {}, {}, scores)
        return known
    config = _configured(row, settings, places, jobs)
    if known is not None:
        _check_same(row, known["method"], config)
        return known
    run = places.runs / row.name
    outcome = _train(config, run, listener)
    model = places.out / "models" / f"{row.name}.onnx"
    model.parent.mkdir(parents=True, exist_ok=True)
    export_run(run, model, name=row.name, overwrite=True)
    tested = material.tested_corpus(places, settings, jobs)
    scores = score_student(model, tested, material.references(places))
    facts = {"scale": settings.scale, **_training_facts(config, outcome)}
    return _write(file, row, row.title, _method(config), facts, scores)


def _configured(
    row: Row, settings: Settings, places: material.Places, jobs: int
) -> DistillConfig | FinetuneConfig:
    config = configure(row, settings, places.data, places.corpus, places.runs)
    if row.kind == STAGE_1:
        share = 1.0 - config.validation_share - config.test_share
        return seen_often_enough(config, material.corpus_frames(places, share))
    material.labelled_corpus(places, settings, jobs)
    return seen_often_enough(config, material.training_frames(places, row.labels, settings))


def _train(config: DistillConfig | FinetuneConfig, run: Path, listener: Listener) -> Outcome:
    if isinstance(config, DistillConfig):
        return distill(config, run, listener=listener)
    return finetune(config, run, listener=listener)


def _teacher_scores(
    row: Row, settings: Settings, places: material.Places, jobs: int
) -> tuple[str, Scores]:
    """What to call them, and their scores."""
    if row.kind == AVERAGE:
        tested = material.tested_corpus(places, settings, jobs)
        # The corpus knows who labelled it; another teacher may have been asked for.
        names = "+".join(sorted(str(t["name"]) for t in tested.description.teachers))
        return f"{row.kind}: {names}", score_average(tested, material.references(places))
    assert row.kind == TEACHER
    return row.title, score_teacher(row.name, places.test, places.test, jobs)


def _training_facts(config: DistillConfig | FinetuneConfig, outcome: Outcome) -> dict[str, Any]:
    state = outcome.state
    with place(config) as here:
        device = here.device.type
        if device == "cuda":
            device = torch.cuda.get_device_name(here.device)
        precision = str(here.precision).removeprefix("torch.")
    return {
        "epochs": state.epoch,
        "best_epoch": outcome.best_epoch,
        "steps": state.step,
        "segments": state.step * config.batch_size,
        "minutes": state.minutes,
        "ended": outcome.finished,
        "validation_accuracy": outcome.best_accuracy,
        "device": device,
        "precision": precision,
        "data": outcome.card.training.get("data", []),
    }


def _method(config: DistillConfig | FinetuneConfig) -> dict[str, Any]:
    """The settings that decide the weights, but for the student: the row says which, and the
    folder that it lies in may be another one elsewhere."""
    method: dict[str, Any] = json.loads(json.dumps(config.method()))
    del method["student"]
    return method


def _check_same(row: Row, known: dict[str, Any], config: DistillConfig | FinetuneConfig) -> None:
    wanted = _method(config)
    # A row from before there was a setting was made as its default has it.
    known = _method(type(config)()) | known
    changed = sorted(k for k in wanted if known[k] != wanted[k])
    if changed:
        raise UsageError(
            f"The row {row.name} was made with other settings: {', '.join(changed[:4])}.",
            hint="Repeat them, give another --out, or delete the row and its run.",
        )


def _write(
    file: Path,
    row: Row,
    title: str,
    method: dict[str, Any],
    training: dict[str, Any],
    scores: Scores,
) -> dict[str, Any]:
    document = {
        "schema": SCHEMA,
        "row": row.name,
        "title": title,
        "method": method,
        "training": training,
        "songs": len(scores.songs),
        "seconds": scores.seconds,
        **scores_document(scores),
    }
    material.write_json(file, document)
    return document
