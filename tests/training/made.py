"""Small corpora and labelled songs, made up, and settings that train on them in a second."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from chordtool.corpus import Arrays, Corpus
from chordtool.corpus.compact import encode
from chordtool.corpus.folder import Description
from chordtool.corpus.manifest import LABELLED, Row
from chordtool.corpus.recording import Metadata, write_recording
from chordtool.export import export
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.training.config import DistillConfig, TrainConfig
from chordtool.training.data import Source, Track
from chordtool.vocabulary import CHORD_TONES, LARGE, N_CLASSES, QUALITIES

SMALL: dict[str, Any] = {
    "batch_size": 4, "segment_frames": 12, "stride": 12, "epochs": 2, "warmup_epochs": 0.0,
    "validation_share": 0.25, "test_share": 0.0, "threads": 1, "device": "cpu",
}  # fmt: skip
"""Settings under which an epoch over a made-up corpus takes a fraction of a second."""


STUDENT = FrontEnd()


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(**{**SMALL, **settings})


def distill_config(corpus: Path, **settings: Any) -> DistillConfig:
    return DistillConfig(**{**SMALL, "corpus": (str(corpus),), **settings})


def spectrum(label: int, front_end: FrontEnd, rng: np.random.Generator) -> NDArray[np.float32]:
    """A frame in which the chord's tones are loud in every octave."""
    root, quality = divmod(label, len(QUALITIES))
    frame = rng.normal(-6.0, 0.3, front_end.n_bins)
    # The lowest bin is C when fmin is.
    offset = round(front_end.bins_per_octave * np.log2(front_end.fmin / FrontEnd().fmin))
    for tone in CHORD_TONES[QUALITIES[quality]]:
        pitch = (root + tone) % 12 * front_end.bins_per_octave // 12
        frame[(pitch - offset) % front_end.bins_per_octave :: front_end.bins_per_octave] += 4.0
    return frame.astype(np.float32)


def arrays(
    frames: int, rng: np.random.Generator, front_end: FrontEnd = STUDENT
) -> tuple[NDArray[np.float16], NDArray[np.int16], NDArray[np.float32]]:
    """Features, labels and the teacher's logits of a recording of changing triads."""
    labels = np.repeat(rng.choice([1, 0, 71, 98], -(-frames // 6)), 6)[:frames].astype(np.int16)
    features = np.stack([spectrum(k, front_end, rng) for k in labels]).astype(np.float16)
    logits = rng.normal(0.0, 1.0, (frames, N_CLASSES)).astype(np.float32)
    logits[np.arange(frames), labels] += 6.0
    return features, labels, logits


def make_corpus(
    folder: Path,
    n: int = 8,
    frames: int = 30,
    front_end: FrontEnd = STUDENT,
    seed: int = 0,
    statistics: dict[str, Any] | None = None,
) -> Path:
    """A corpus of ``n`` recordings; they are songs song-0, song-1, ..."""
    description = Description(front_end, ({"name": "toy", "sha256": "0" * 64, "weight": 1.0},), "f")
    corpus = Corpus.create(folder, description)
    rng = np.random.default_rng(seed)
    for number in range(n):
        features, labels, logits = arrays(frames, rng, front_end)
        content = Arrays(features, labels, encode(logits))
        digest = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        metadata = Metadata(
            audio_sha256=digest, seconds=frames * front_end.frame_seconds, front_end=front_end,
            posterior_step=0.1, teachers=description.teachers, labels_fingerprint="f",
            content_sha256=content.digest(), statistics={},
        )  # fmt: skip
        path = corpus.recording_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = write_recording(path, content, metadata)
        corpus.manifest.append(
            Row(
                path=f"/music/song-{number}.flac", status=LABELLED, audio_sha256=digest,
                frames=frames, seconds=metadata.seconds, teachers=description.teachers,
                front_end=front_end.fingerprint, labels_fingerprint="f", recording_sha256=written,
                statistics=statistics or {},
            )
        )  # fmt: skip
    return folder


def make_songs(folder: Path, n: int = 6, seconds: float = 4.0) -> Path:
    """``n`` songs of block chords as song-0.wav, ... with .lab beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(n):
        labels = rng.choice([1, 0, 71, 98, 85], 4)
        write_song(folder / f"song-{number}", labels.tolist(), seconds)
    return folder


def write_song(stem: Path, labels: list[int], seconds: float) -> None:
    """One song of chords of equal length."""
    step = seconds / len(labels)
    lines, parts = [], []
    for k, label in enumerate(labels):
        parts.append(chord_sound(label, step))
        lines.append(f"{k * step:.3f}\t{(k + 1) * step:.3f}\t{LARGE[label]}\n")
    soundfile.write(stem.with_suffix(".wav"), np.concatenate(parts), 22_050)
    stem.with_suffix(".lab").write_text("".join(lines))


def chord_sound(
    label: int, seconds: float, semitones: float = 0.0, harmonics: tuple[int, ...] = (1, 2, 3, 4)
) -> NDArray[np.float32]:
    """A chord of the vocabulary as a sum of harmonics."""
    root, quality = divmod(label, len(QUALITIES))
    times = np.arange(round(seconds * 22_050)) / 22_050
    sound = np.zeros(len(times))
    for tone in CHORD_TONES[QUALITIES[quality]]:
        frequency = 130.81 * 2 ** ((root + tone + semitones) / 12)
        for harmonic in harmonics:
            sound += np.sin(2 * np.pi * harmonic * frequency * times) / harmonic**2
    return (0.1 * sound).astype(np.float32)


def memory_source(n: int = 4, frames: int = 40, **settings: Any) -> Source:
    """A source whose files do not exist: for what never reads them."""
    tracks = tuple(
        Track(key=f"t{k}", song=f"s{k}", path=Path(f"/nowhere/{k}"), n_frames=frames)
        for k in range(n)
    )
    return Source(name="made up", tracks=tracks, front_end=FrontEnd(), **settings)


CARD = ModelCard("old", "btc", FrontEnd(mean=-5.0, std=2.5), teacher="lv")


def make_student(folder: Path) -> Path:
    """A checkpoint, ``best.safetensors``, and the same student exported beside it."""
    torch.manual_seed(3)
    module = build("btc", n_bins=144, n_classes=170)
    checkpoint.save_checkpoint(folder / "best.safetensors", module.state_dict(), CARD)
    export(module, CARD, folder / "student.onnx")
    return folder
