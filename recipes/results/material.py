"""What the rows train and are tested on: computed once, and then without audio.

::

    data/songs.json       which songs were chosen, and which of them validate
    data/split.json       the same for `chordtool finetune --split`
    data/labels/100 ...   their ground truth; shares of it; a noisy version
    data/labelled         corpus of their audio: features, the teachers' posteriors
    data/test-labels      ground truth of the test songs
    data/test             corpus of their audio
    data/corpus           the corpus of stage 1, where the folder was unpacked from another machine
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from chordtool.corpus import Corpus, CorpusRecording
from chordtool.corpus.request import Request, carry_out, make_executor, prepare
from chordtool.errors import TrainingError, UsageError
from chordtool.evaluation.files import label_files, read_references
from chordtool.files import atomic_write
from chordtool.formats.lab import read_lab_segments
from chordtool.segments import Segment
from chordtool.training.ground_truth import match
from recipes.results.noise import noisy
from recipes.results.plan import NOISY, SHARES, Settings

_VERSION: Final = re.compile(r"-s\d+$")


@dataclass(frozen=True)
class Places:
    """Folders of one table."""

    out: Path
    corpus_given: Path
    labels: Path
    test: Path

    @property
    def data(self) -> Path:
        """What rows train and are tested on."""
        return self.out / "data"

    @property
    def runs(self) -> Path:
        """Runs of ``distill`` and ``finetune``, by row."""
        return self.out / "runs"

    @property
    def rows(self) -> Path:
        """Results, by row."""
        return self.out / "rows"

    @property
    def corpus(self) -> Path:
        """The corpus of stage 1."""
        unpacked = self.data / "corpus"
        return unpacked if unpacked.is_dir() else self.corpus_given


def song_of(stem: str) -> str:
    """The song that a file is a version of: ``012`` of ``012-s1``."""
    return _VERSION.sub("", stem)


def choose_songs(stems: list[str], settings: Settings, left_out: set[str]) -> dict[str, list[str]]:
    """The labelled songs, one version each: those whose names have the smallest hashes.

    Args:
        stems: of the label files.
        settings: how many, and how many of them validate.
        left_out: songs that must not be among them.

    Returns:
        ``train`` and ``validation``, stems in the order of their hashes: a share of the training
        songs is the start of the list.

    Raises:
        UsageError: there are too few.
    """
    versions: dict[str, str] = {}
    for stem in sorted(stems):
        if song_of(stem) not in left_out:
            versions.setdefault(song_of(stem), stem)
    order = sorted(versions, key=lambda song: hashlib.sha256(song.encode()).hexdigest())
    if len(order) < settings.songs:
        raise UsageError(
            f"There are {len(order)} labelled songs, not {settings.songs}.",
            hint="Ask for fewer with --songs.",
        )
    chosen = [versions[song] for song in order[: settings.songs]]
    n_validation = max(1, round(settings.validation_share * len(chosen)))
    return {"train": chosen[:-n_validation], "validation": chosen[-n_validation:]}


def make_labels(places: Places, settings: Settings) -> dict[str, list[str]]:
    """Choose the labelled songs and write their labels in all versions, if that is not done.

    Raises:
        UsageError: other songs were chosen before, or there are too few.
    """
    file = places.data / "songs.json"
    wanted = {"songs": settings.songs, "validation_share": settings.validation_share,
              "seed": settings.seed}  # fmt: skip
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["settings"] != wanted:
            raise UsageError(
                f"The songs in {places.data} were chosen with other settings.",
                hint="Give the same --songs and --seed, or another --out.",
            )
        return {part: list(known[part]) for part in ("train", "validation")}
    files = {path.stem: path for path in label_files(places.labels) if path.suffix == ".lab"}
    tested = {song_of(path.stem) for path in label_files(places.test)}
    songs = choose_songs(list(files), settings, tested)
    for share_name, share in SHARES.items():
        train = songs["train"][: max(1, round(share * len(songs["train"])))]
        target = _new_folder(places.data / "labels" / share_name)
        for stem in (*train, *songs["validation"]):
            shutil.copyfile(files[stem], target / f"{stem}.lab")
    target = _new_folder(places.data / "labels" / NOISY)
    for stem in (*songs["train"], *songs["validation"]):
        segments = read_lab_segments(files[stem].read_bytes())
        lines = (
            f"{s.start:.4f}\t{s.end:.4f}\t{s.label}\n"
            for s in noisy(segments, song_of(stem), seed=settings.seed)
        )
        (target / f"{stem}.lab").write_text("".join(lines), encoding="utf-8")
    write_json(places.data / "split.json", {**songs, "test": []})
    write_json(file, {**songs, "settings": wanted})
    return songs


def labelled_corpus(places: Places, settings: Settings, jobs: int) -> Corpus:
    """The corpus of the labelled songs' audio, made or gone on with."""
    songs = make_labels(places, settings)
    wanted = {*songs["train"], *songs["validation"]}
    folder = places.data / "labelled"
    return _labelled(folder, places.labels, wanted, "default+6", settings, jobs)


def tested_corpus(places: Places, settings: Settings, jobs: int) -> Corpus:
    """The corpus of the test songs' audio, made or gone on with, and their labels beside it."""
    labels = places.data / "test-labels"
    if not labels.is_dir():
        part = _new_folder(places.data / "test-labels.part")
        for path in label_files(places.test):
            shutil.copyfile(path, part / path.name)
        part.rename(labels)
    wanted = {path.stem for path in label_files(labels)}
    averaged = replace(settings, teachers=settings.averaged)
    return _labelled(places.data / "test", places.test, wanted, "default", averaged, jobs)


def by_stem(corpus: Corpus) -> dict[str, CorpusRecording]:
    """Recordings by the name of their file."""
    return {Path(r.row.path or r.audio_sha256).stem: r for r in corpus.recordings()}


def _labelled(
    folder: Path, audio: Path, stems: set[str], front_end: str, settings: Settings, jobs: int
) -> Corpus:
    """A corpus that has these recordings.

    Raises:
        TrainingError: some of them cannot be had.
    """
    if (folder / "corpus.json").exists():
        corpus = Corpus.open(folder)
        if stems <= by_stem(corpus).keys():
            return corpus
    sources = [str(path) for _, path in match(audio).pairs if path.stem in stems]
    prepared = prepare(
        Request(
            output=folder, sources=tuple(sources), teachers=settings.teachers,
            front_end=front_end, n_jobs=jobs,
        )
    )  # fmt: skip
    print(f"Labelling {len(prepared.planned.todo)} recordings of {audio}.", file=sys.stderr)
    executor = make_executor(prepared)
    try:
        carry_out(prepared, executor)
    finally:
        executor.close()
    corpus = Corpus.open(folder)
    missing = sorted(stems - by_stem(corpus).keys())
    if missing:
        raise TrainingError(
            f"{len(missing)} recordings of {audio} could not be labelled: "
            f"{', '.join(missing[:5])}.",
            hint=f"Look at them with: chordtool corpus info {folder}",
        )
    return corpus


def training_frames(places: Places, labels: str, settings: Settings) -> int:
    """Frames of the songs that a set of labels trains on."""
    validation = set(make_labels(places, settings)["validation"])
    there = by_stem(Corpus.open(places.data / "labelled"))
    stems = {path.stem for path in label_files(places.data / "labels" / labels)} - validation
    return sum(there[stem].frames for stem in stems)


def corpus_frames(places: Places, share: float) -> int:
    """Frames of the part of the corpus of stage 1 that trains."""
    recordings = Corpus.open(places.corpus).recordings()
    return int(share * sum(r.frames for r in recordings if r.music))


def references(places: Places) -> dict[str, tuple[Segment, ...]]:
    """Ground truth of the test songs."""
    return read_references(places.data / "test-labels").segments


def write_json(path: Path, document: Any) -> None:
    """Write a document, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")


def _new_folder(path: Path) -> Path:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path
