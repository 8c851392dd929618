"""The rows of the table: what each trains, on what, from where, and for how long.

The method is that of arXiv 2602.19778. Its budget is not: the paper trains on 1,300 hours for up
to a hundred epochs. What differs because of that is in :data:`DEVIATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from chordtool.errors import UsageError
from chordtool.training.config import FROM_SCRATCH, DistillConfig, FinetuneConfig

TEACHER, AVERAGE, STAGE_1, SCRATCH, STAGE_2 = (
    "teacher", "teachers averaged", "stage 1", "from scratch", "stage 2",
)  # fmt: skip
KD: Final[dict[str, dict[str, Any]]] = {
    "off": {"kd_alpha": 0.0},
    "plain": {"kd_alpha": 0.3, "kd_weighting": "plain"},
    "selective": {"kd_alpha": 0.3, "kd_weighting": "selective"},
}
STAGE_1_KD: Final[dict[str, Any]] = {"kd_alpha": 0.5, "kd_weighting": "plain", "temperature": 3.0}
"""KD in stage 1, as the paper's option has it."""
SHARES: Final = {"100": 1.0, "50": 0.5, "10": 0.1}
"""Sets of labels by how many of the training songs they have."""
NOISY: Final = "noisy"
AUGMENTATIONS: Final[dict[str, dict[str, Any]]] = {
    "none": {"pitch_low": 0, "pitch_high": 0},
    "pitch": {},
    "all": {
        "gain_db": 6.0, "eq_db": 6.0, "noise_db": 20.0, "detune_cents": 20.0, "mask_frames": 8,
        "mask_bins": 8,
    },
    "sustain": {"sustain": 0.12},
}  # fmt: skip
"""What training varies, beside pitch where there is anything: nothing; pitch alone, as the paper's
baseline does; all that changes the sound of what is played; how long it sounds."""
COST: Final = {"btc": 1.0, "2e1d": 0.95}
"""Processor time of a segment, relative to BTC's; measured on one core, batch 32, bfloat16."""

DEVIATIONS: Final = (
    "The teacher is `lv`, where the paper has a BTC; its posteriors come from a corpus, in steps "
    "of 0.1 nats.",
    "Stage 1 has KD (alpha 0.5, temperature 3), which the paper has as an option: it takes about "
    "half the epochs and ends slightly lower.",
    "Pitch is shifted in both stages as it is from scratch, and the teacher's posteriors with it: "
    "a few hours do not have all chords on all roots; the paper's do. One row leaves it out in "
    "stage 2.",
    "Batches, learning rates and the number of epochs are those of the table of runs; an epoch is "
    "a fixed number of segments, drawn anew each time, so that all rows of a kind take the same "
    "number of steps. The paper's batches are of 256 (stage 1) and 32 to 128 (stage 2), its rates "
    "3e-4, 1e-4 (from scratch) and 1e-5 (stage 2), its limits 100, 100 and 50 epochs.",
    "The supervised baseline and stage 2 have the cosine schedule of stage 1: constant rates, or "
    "ones that fall when nothing improves, would leave them unfinished after so few steps. As in "
    "the paper, the baseline may see twice as many segments as stage 2.",
    "Early stopping uses validation songs out of the labelled set, the same ones for every share "
    "of the labels; with noisy labels, these are noisy too.",
)  # fmt: skip
"""Where the rows differ from the paper's, for the report."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    kind: str
    student: str = ""
    """Architecture."""
    segments: int = 0
    """Segments of training at scale 1."""
    start: str = ""
    """The row whose student it starts from."""
    kd: str = "off"
    labels: str = "100"
    """Which set of labels: a key of :data:`SHARES`, or :data:`NOISY`."""
    augment: str = "pitch"
    """A key of :data:`AUGMENTATIONS`."""
    optimiser: str = "adamw"

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.kind in (TEACHER, AVERAGE):
            return f"{self.kind}: {self.name}"
        words = [self.student.upper(), self.kind]
        if self.kind == STAGE_2:
            words.append(f"KD {self.kd}")
        if self.augment != "pitch":
            words.append(f"augmentation: {self.augment}")
        if self.optimiser != "adamw":
            words.append(self.optimiser)
        if self.labels == NOISY:
            words.append("noisy labels")
        elif self.labels != "100":
            words.append(f"{self.labels} % of the labels")
        return ", ".join(words)


_OF_LABELS: Final = {"100": 1.0, "10": 0.25}
"""Share of the segments by set of labels; a half for the others."""


def _baseline(name: str, student: str, labels: str = "100", augment: str = "pitch") -> Row:
    segments = round(90_000 * _OF_LABELS.get(labels, 0.5))
    return Row(name, SCRATCH, student, segments, labels=labels, augment=augment)


def _stage_2(name: str, student: str, kd: str, labels: str = "100", augment: str = "pitch") -> Row:
    segments = round(45_000 * _OF_LABELS.get(labels, 0.5))
    return Row(name, STAGE_2, student, segments, f"{student}-stage1", kd, labels, augment)


ROWS: Final = (
    Row("lv", TEACHER),
    Row("crema", TEACHER),
    Row("lv+crema", AVERAGE),
    _baseline("btc-baseline", "btc"),
    Row("btc-stage1", STAGE_1, "btc", 840_000),
    Row("2e1d-stage1", STAGE_1, "2e1d", 840_000),
    _stage_2("btc-stage2", "btc", "selective"),
    _baseline("2e1d-baseline", "2e1d"),
    _stage_2("2e1d-stage2", "2e1d", "selective"),
    _stage_2("btc-stage2-off", "btc", "off"),
    _stage_2("btc-stage2-plain", "btc", "plain"),
    _stage_2("btc-stage2-unshifted", "btc", "selective", augment="none"),
    _stage_2("btc-50-off", "btc", "off", "50"),
    _stage_2("btc-50-selective", "btc", "selective", "50"),
    _stage_2("btc-10-off", "btc", "off", "10"),
    _stage_2("btc-10-selective", "btc", "selective", "10"),
    _stage_2("btc-noisy-off", "btc", "off", NOISY),
    _stage_2("btc-noisy-selective", "btc", "selective", NOISY),
    _baseline("btc-50-baseline", "btc", "50"),
    _baseline("btc-10-baseline", "btc", "10"),
    _baseline("2e1d-50-baseline", "2e1d", "50"),
    _baseline("2e1d-10-baseline", "2e1d", "10"),
    _stage_2("2e1d-50-selective", "2e1d", "selective", "50"),
    _stage_2("2e1d-10-selective", "2e1d", "selective", "10"),
    _baseline("2e1d-augment-none", "2e1d", augment="none"),
    _baseline("2e1d-augment-all", "2e1d", augment="all"),
    _baseline("2e1d-augment-sustain", "2e1d", augment="sustain"),
    _stage_2("btc-stage2-sustain", "btc", "selective", augment="sustain"),
    _stage_2("2e1d-stage2-sustain", "2e1d", "selective", augment="sustain"),
    replace(_baseline("btc-muon", "btc"), optimiser="muon"),
    replace(_baseline("2e1d-muon", "2e1d"), optimiser="muon"),
    replace(_stage_2("btc-stage2-muon", "btc", "selective"), optimiser="muon"),
    replace(_stage_2("2e1d-stage2-muon", "2e1d", "selective"), optimiser="muon"),
)
"""All rows, the most telling ones first."""
BY_NAME: Final = {row.name: row for row in ROWS}


@dataclass(frozen=True)
class Settings:
    """What all rows have in common."""

    scale: float = 1.0
    """Budget, as a multiple of the rows' segments."""
    epochs: int = 20
    """Parts of each run after which it is validated."""
    batch_size: int = 16
    lr: float = 6e-4
    """Peak of the cosine, for random weights."""
    lr_stage_2: float = 3e-4
    songs: int = 100
    """Labelled songs, validation included."""
    validation_share: float = 0.15
    seed: int = 42
    teachers: tuple[str, ...] = ("lv",)
    """Who labels; a corpus that is there already has its own."""
    averaged: tuple[str, ...] = ("lv", "crema")
    """Whose average is a row of its own."""
    running: dict[str, Any] = field(default_factory=dict)
    """``device``, ``precision``, ``threads``: these do not decide the weights."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"A scale of {self.scale:g} makes no sense.", hint="1.0 is the table.")
        if self.epochs < 1 or self.batch_size < 1 or self.songs < 4:
            raise UsageError(
                "The table needs at least 1 epoch, 1 segment a batch and 4 songs.",
                hint="Leave --epochs, --batch-size and --songs out.",
            )

    def epoch_segments(self, row: Row) -> int:
        """Segments of one epoch: whole batches, at least one."""
        batches = round(row.segments * self.scale / self.epochs / self.batch_size)
        return max(1, batches) * self.batch_size

    def segments(self, row: Row) -> int:
        """Segments that a row trains on, if it is not stopped early."""
        return self.epoch_segments(row) * self.epochs if row.segments else 0


def chosen(names: Iterable[str]) -> tuple[Row, ...]:
    """Rows by name, with those that they start from, in the order of the table; all if none.

    Raises:
        UsageError: there is no such row.
    """
    wanted = set(names) or set(BY_NAME)
    unknown = sorted(wanted - set(BY_NAME))
    if unknown:
        raise UsageError(f"There is no row {unknown[0]!r}.", hint="See --list.")
    wanted |= {BY_NAME[name].start for name in wanted}
    return tuple(row for row in ROWS if row.name in wanted)


def cost(rows: Iterable[Row], settings: Settings) -> int:
    """What rows cost, as segments of BTC."""
    return round(sum(settings.segments(row) * COST.get(row.student, 1.0) for row in rows))


def configure(
    row: Row, settings: Settings, data: Path, corpus: Path, runs: Path
) -> DistillConfig | FinetuneConfig:
    """The run of a row.

    Args:
        row: one that trains.
        settings: of the table.
        data: the folder of :mod:`recipes.results.material`.
        corpus: of stage 1.
        runs: where runs are.
    """
    shared: dict[str, Any] = {
        "batch_size": settings.batch_size, "epochs": settings.epochs, "seed": settings.seed,
        "epoch_segments": settings.epoch_segments(row), "optimiser": row.optimiser,
        **settings.running,
    }  # fmt: skip
    cosine: dict[str, Any] = {
        "lr": settings.lr, "schedule": "cosine", "warmup_epochs": 0.1 * settings.epochs,
        "lr_start": 1e-4, "lr_end": 1e-6,
    }  # fmt: skip
    pitch = {k: FROM_SCRATCH[k] for k in ("pitch_low", "pitch_high")}
    varied = {**pitch, **AUGMENTATIONS[row.augment]}
    if row.kind == STAGE_1:
        return DistillConfig(
            student=row.student, corpus=(str(corpus),), **STAGE_1_KD, **shared, **cosine, **varied
        )
    labelled: dict[str, Any] = {
        "labels": (str(data / "labels" / row.labels),), "audio": (str(data / "labelled"),),
        "split": str(data / "split.json"), "test_share": 0.0, **shared,
    }  # fmt: skip
    if row.kind == SCRATCH:
        scratch = {**FROM_SCRATCH, "student": row.student, "from_scratch": True}
        return FinetuneConfig(**{**scratch, **varied, **labelled, **cosine})
    return FinetuneConfig(
        student=str(runs / row.start), temperature=3.0, **KD[row.kd], **labelled, **varied,
        **{**cosine, "lr": settings.lr_stage_2},
    )  # fmt: skip


def seen_often_enough(
    config: DistillConfig | FinetuneConfig, n_frames: int
) -> DistillConfig | FinetuneConfig:
    """The same run, its recordings repeated as often as an epoch of its length needs.

    Args:
        config: of a row.
        n_frames: of all recordings that it trains on.
    """
    # One in ten may be lost at the ends of recordings.
    available = max(1, int(0.9 * n_frames / config.stride))
    return replace(config, weight=(float(math.ceil(config.epoch_segments / available)),))
