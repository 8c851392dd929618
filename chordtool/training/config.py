"""What a training run is: one frozen dataclass a command, with the paper's values as defaults.

The values are those of arXiv 2602.19778; where its text and its public code disagree, the
text's is the default. A run writes its configuration to ``config.json`` in its folder;
:mod:`chordtool.training.config_file` reads it back.
"""

from __future__ import annotations

import json
import typing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from chordtool.errors import UsageError
from chordtool.training.settings import RUN_ONLY, checked, setting

CONFIG_SCHEMA: Final = 1


@dataclass(frozen=True)
class TrainConfig:
    """What both stages have in common."""

    student: str = setting("btc", "Architecture of the student: btc or 2e1d.", metavar="NAME")

    # Loss
    loss: str = setting(
        "cross-entropy", "Loss on the labels.", choices=("cross-entropy", "focal"), panel="Loss"
    )
    focal_gamma: float = setting(
        2.0, "Exponent of the focal loss.", low=0.0, high=10.0, panel="Loss"
    )
    balance: float = setting(
        0.0, "Favour rare qualities on the labels: 0 is off, 1 is as if all were equally frequent.",
        low=0.0, high=1.0, panel="Loss",
    )  # fmt: skip
    kd_alpha: float = setting(
        0.0, "Share of the teacher's soft labels in the loss; 0 is none.",
        low=0.0, high=1.0, panel="Loss",
    )  # fmt: skip
    kd_weighting: str = setting(
        "selective", "How frames count in the teacher's share: by its confidence, or all alike.",
        choices=("selective", "plain"), panel="Loss",
    )  # fmt: skip
    temperature: float = setting(
        3.0, "Temperature that softens teacher and student.", low=0.1, high=100.0, panel="Loss"
    )

    # Optimiser and schedule
    optimiser: str = setting(
        "adamw", "adamw, or muon: AdamW but for matrices, which need fewer segments with it.",
        choices=("adamw", "muon"), panel="Optimiser",
    )  # fmt: skip
    lr: float = setting(
        3e-4, "Learning rate; the peak of the cosine schedule.",
        low=0.0, high=10.0, panel="Optimiser",
    )  # fmt: skip
    schedule: str = setting(
        "cosine", "How the learning rate moves.",
        choices=("cosine", "plateau", "constant"), panel="Optimiser",
    )  # fmt: skip
    warmup_epochs: float = setting(
        10.0, "Epochs over which the rate rises linearly from --lr-start.",
        low=0.0, high=1e6, panel="Optimiser",
    )  # fmt: skip
    lr_start: float = setting(
        1e-4, "Learning rate at the start of the warm-up.", low=0.0, high=10.0, panel="Optimiser"
    )
    lr_end: float = setting(
        1e-6, "Learning rate at the end of the cosine; floor of the plateau decay.",
        low=0.0, high=10.0, panel="Optimiser",
    )  # fmt: skip
    plateau_factor: float = setting(
        0.9, "Plateau decay: the rate is multiplied by this after an epoch without improvement.",
        low=0.01, high=1.0, panel="Optimiser",
    )  # fmt: skip
    weight_decay: float = setting(
        1e-5, "Weight decay, decoupled from the gradient.", low=0.0, high=10.0, panel="Optimiser"
    )
    clip_norm: float = setting(
        1.0, "Largest norm of the gradient; 0 is no limit.", low=0.0, high=1e6, panel="Optimiser"
    )
    epochs: int = setting(100, "Epochs at most.", low=1, high=1_000_000, panel="Optimiser")
    patience: int = setting(
        10, "Stop after this many epochs without improvement; 0 is never.",
        low=0, high=1_000_000, panel="Optimiser",
    )  # fmt: skip
    ema_decay: float = setting(
        0.0, "Keep, validate and export a moving average of the weights with this decay; 0 is off.",
        low=0.0, high=0.999999, panel="Optimiser",
    )  # fmt: skip
    dropout: float | None = setting(
        None, "Dropout, instead of the architecture's own.", low=0.0, high=0.95, panel="Optimiser"
    )

    # Data
    batch_size: int = setting(
        256, "Segments a step, over all processes.", low=1, high=1 << 16, panel="Data"
    )
    segment_frames: int = setting(108, "Frames of a segment.", low=1, high=10_000, panel="Data")
    stride: int = setting(
        108, "Frames from one segment's start to the next.", low=1, high=10_000, panel="Data"
    )
    path_cost: float = setting(
        0.0, "Learn the teacher's best path through corpora, on which a change of chord costs this "
        "many nats; 0: the best chord of each frame.", low=0.0, high=1e4, panel="Data",
    )  # fmt: skip
    validation_share: float = setting(
        0.1, "Share of the songs that validate.", low=0.0, high=0.9, panel="Data"
    )
    test_share: float = setting(
        0.1, "Share of the songs that are put aside for testing.", low=0.0, high=0.9, panel="Data"
    )
    split: str | None = setting(
        None,
        "A run whose split is taken, or a JSON file with lists of song names: train, validation, "
        "test.",
        metavar="RUN|FILE",
        panel="Data",
        run_only=True,
    )
    song_pattern: str | None = setting(
        None, "Regular expression; its first group in a file's stem names the song, so that "
        "versions of one song stay in one split.", metavar="REGEX", panel="Data",
    )  # fmt: skip
    epoch_segments: int = setting(
        0, "Segments of an epoch, drawn anew for each; 0 is all.", low=0, high=1 << 40, panel="Data"
    )
    seed: int = setting(42, "Seed of everything random.", low=0, high=1 << 31, panel="Data")

    # Augmentation (beyond the paper; all off)
    pitch_low: int = setting(
        0, "Pitch shift: lowest, in semitones.", low=-24, high=0, panel="Augmentation"
    )
    pitch_high: int = setting(
        0, "Pitch shift: highest, in semitones.", low=0, high=24, panel="Augmentation"
    )
    jitter_frames: int = setting(
        0, "Move segment starts by up to this many frames.", low=0, high=10_000,
        panel="Augmentation",
    )  # fmt: skip
    gain_db: float = setting(
        0.0, "Random gain, plus or minus.", low=0.0, high=60.0, panel="Augmentation"
    )
    eq_db: float = setting(
        0.0, "Random smooth equaliser, plus or minus.", low=0.0, high=60.0, panel="Augmentation"
    )
    noise_db: float = setting(
        0.0, "Random noise floor: up to this far above 60 dB below the segment's loudest bin.",
        low=0.0, high=60.0, panel="Augmentation",
    )  # fmt: skip
    detune_cents: float = setting(
        0.0, "Random detuning, plus or minus.", low=0.0, high=50.0, panel="Augmentation"
    )
    sustain: float = setting(
        0.0, "Share of the segments in which all notes ring on, as under a pedal that is never "
        "lifted.", low=0.0, high=1.0, panel="Augmentation",
    )  # fmt: skip
    mask_frames: int = setting(
        0, "SpecAugment: widest masked stretch of frames.", low=0, high=1000, panel="Augmentation"
    )
    mask_bins: int = setting(
        0, "SpecAugment: widest masked band of bins.", low=0, high=1000, panel="Augmentation"
    )
    masks: int = setting(
        2, "SpecAugment: masks of each kind a segment.", low=0, high=100, panel="Augmentation"
    )

    # How the run runs; may differ when it goes on
    licence: str = setting(
        "", "Licence of the weights for their card, an SPDX identifier.",
        panel="Running", run_only=True,
    )  # fmt: skip
    device: str = setting(
        "auto", "auto, cpu, cuda or mps.", metavar="NAME", panel="Running", run_only=True
    )
    precision: str = setting(
        "auto", "auto (bfloat16 or float16 on a GPU, float32 elsewhere), or one of them; bfloat16 "
        "is faster on processors that compute in it, too.",
        choices=("auto", "float32", "bfloat16", "float16"), panel="Running", run_only=True,
    )  # fmt: skip
    keep_on_device: str = setting(
        "auto", "Whether the corpus lies in the device's memory: auto (on a GPU, if it takes less "
        "than half of what is free), always, or never.",
        choices=("auto", "always", "never"), panel="Running", run_only=True,
    )  # fmt: skip
    threads: int = setting(
        0, "CPU threads; 0 leaves them to torch.", low=0, high=1024, panel="Running", run_only=True
    )
    checkpoint_minutes: float = setting(
        10.0, "Minutes between checkpoints within an epoch; 0 is none.",
        low=0.0, high=1e6, panel="Running", run_only=True,
    )  # fmt: skip
    checkpoint_steps: int = setting(
        0, "Steps between checkpoints within an epoch; 0 is none.",
        low=0, high=1 << 40, panel="Running", run_only=True,
    )  # fmt: skip
    max_minutes: float = setting(
        0.0, "Stop after this many minutes of this call; 0 is no limit.",
        low=0.0, high=1e7, panel="Running", run_only=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in fields(self):
            object.__setattr__(
                self, f.name, checked(f.name, getattr(self, f.name), hints[f.name], f.metadata)
            )
        if self.validation_share + self.test_share >= 1.0:
            raise UsageError(
                "Validation and test together take all songs.",
                hint="Leave some for training: lower --validation-share or --test-share.",
            )

    @property
    def spare_semitones(self) -> int:
        """Semitones of spare bins that pitch shift needs below and above the student's bins."""
        return max(self.pitch_high, -self.pitch_low)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return asdict(self)

    def method(self) -> dict[str, Any]:
        """The settings that decide the weights; a run goes on only with the same ones."""
        return {
            f.name: _plain(getattr(self, f.name))
            for f in fields(self)
            if not f.metadata.get(RUN_ONLY)
        }

    def write(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        from chordtool.files import atomic_write

        document = {"schema": CONFIG_SCHEMA, "command": self.command, **self.to_dict()}
        with atomic_write(path, "w") as file:
            file.write(json.dumps(document, indent=1) + "\n")

    @property
    def command(self) -> str:
        """Name of the command that it configures."""
        return "train"


@dataclass(frozen=True)
class DistillConfig(TrainConfig):
    """Stage 1: a student learns a teacher's labels of unlabelled audio."""

    corpus: tuple[str, ...] = setting(
        (),
        "A labelled corpus, or a folder of audio, which is labelled first; may be repeated.",
        metavar="CORPUS|DIR",
        panel="Input",
        run_only=True,
    )
    weight: tuple[float, ...] = setting(
        (),
        "How often a corpus is seen in an epoch; once for each --corpus, in their order.",
        panel="Input",
    )
    teacher: tuple[str, ...] = setting(
        (), "Who labels a folder of audio; repeat it for several, which are averaged. lv if not "
        "given.", metavar="NAME|FILE.onnx", panel="Input", run_only=True,
    )  # fmt: skip
    weigh_by_agreement: bool = setting(
        False, "Count recordings by how far several teachers agree on them.", panel="Loss"
    )

    @property
    def command(self) -> str:
        return "distill"


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """Stage 2: the student learns ground truth, with the teacher beside it."""

    student: str = setting(
        "default", "The student to start from: a run, a checkpoint, an ONNX file or a model's name;"
        " with --from-scratch the architecture: btc or 2e1d.", metavar="RUN|FILE|NAME",
    )  # fmt: skip
    labels: tuple[str, ...] = setting(
        (), "A folder of ground truth; may be repeated.",
        metavar="DIR", panel="Input", run_only=True,
    )  # fmt: skip
    audio: tuple[str, ...] = setting(
        (), "Folder of the audio, once for each --labels, in their order; beside the labels if not "
        "given. A labelled corpus will do: features and posteriors are then its own.",
        metavar="DIR|CORPUS", panel="Input", run_only=True,
    )  # fmt: skip
    weight: tuple[float, ...] = setting(
        (),
        "How often a folder of labels is seen in an epoch; once for each --labels, in their order.",
        panel="Input",
    )
    replay: tuple[str, ...] = setting(
        (),
        "A corpus with a teacher's labels to mix in; may be repeated.",
        metavar="CORPUS",
        panel="Input",
        run_only=True,
    )
    replay_share: float = setting(
        0.3, "Share of the segments that come from --replay.", low=0.0, high=0.99, panel="Input"
    )
    teacher: tuple[str, ...] = setting(
        (), "Teacher for --kd-alpha; repeat it for several, which are averaged. The student's own "
        "if not given.", metavar="NAME|FILE.onnx", panel="Loss",
    )  # fmt: skip
    kd_on: str = setting(
        "all", "Which recordings have the teacher: all, or those of --replay alone, whose corpora "
        "have its posteriors.", choices=("all", "replay"), panel="Loss",
    )  # fmt: skip
    augment_on: str = setting(
        "all", "Which recordings are augmented: all, or the labelled ones alone. Those of --replay "
        "then sound as their teacher heard them; --jitter-frames moves them all the same.",
        choices=("all", "labels"), panel="Augmentation",
    )  # fmt: skip
    from_scratch: bool = setting(
        False,
        "The supervised baseline: random weights, pitch shift, no teacher. Unless given, --student "
        "is then btc, --lr 1e-4, --epochs 100, --pitch-low -5, --pitch-high 6.",
        panel="Method",
    )
    cache: str | None = setting(
        None, "Folder for features and posteriors; in the run's folder if not given.",
        metavar="DIR", panel="Input", run_only=True,
    )  # fmt: skip

    kd_alpha: float = setting(
        0.3, "Share of the teacher's soft labels in the loss; 0 is none.",
        low=0.0, high=1.0, panel="Loss",
    )  # fmt: skip
    lr: float = setting(1e-5, "Learning rate.", low=0.0, high=10.0, panel="Optimiser")
    schedule: str = setting(
        "plateau", "How the learning rate moves.",
        choices=("cosine", "plateau", "constant"), panel="Optimiser",
    )  # fmt: skip
    warmup_epochs: float = setting(
        0.0, "Epochs over which the rate rises linearly from --lr-start.",
        low=0.0, high=1e6, panel="Optimiser",
    )  # fmt: skip
    epochs: int = setting(50, "Epochs at most.", low=1, high=1_000_000, panel="Optimiser")
    batch_size: int = setting(
        128, "Segments a step, over all processes.", low=1, high=1 << 16, panel="Data"
    )
    segment_frames: int = setting(
        0, "Frames of a segment; 0 is as many as the student hears at a time.",
        low=0, high=10_000, panel="Data",
    )  # fmt: skip
    stride: int = setting(
        54, "Frames from one segment's start to the next.", low=1, high=10_000, panel="Data"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.student:  # one name for a folder, with a slash at its end or without
            object.__setattr__(self, "student", str(Path(self.student)))

    @property
    def command(self) -> str:
        return "finetune"


FROM_SCRATCH: Final[dict[str, Any]] = {
    "student": "btc", "kd_alpha": 0.0, "lr": 1e-4, "epochs": 100, "pitch_low": -5, "pitch_high": 6,
}  # fmt: skip
"""What ``--from-scratch`` changes in the defaults of :class:`FinetuneConfig`: the paper's
supervised baseline."""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
