"""Ground truth on the recordings of a corpus: features and posteriors without the audio.

A corpus has computed what stage 2 needs of each recording. Labels that are matched to it by name
train on a machine that has never seen the audio, and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chordtool.corpus import Corpus
from chordtool.errors import TrainingError, UsageError
from chordtool.evaluation.files import label_files
from chordtool.matching import Matches, match_by_name
from chordtool.training.data import Source, Track
from chordtool.training.ground_truth import label_frames, read_labels
from chordtool.training.sources import read_codes

_ROOT: Final = Path()


def is_corpus(folder: Path | None) -> bool:
    """Whether a folder is a labelled corpus rather than one of audio."""
    return folder is not None and (folder / "corpus.json").is_file()


def corpus_labelled_source(
    labels: Path,
    corpus: Corpus,
    *,
    name: str,
    weight: float = 1.0,
    song_pattern: str | None = None,
) -> tuple[Source, Matches]:
    """The recordings of a corpus that have ground truth, with the corpus's posteriors beside it.

    Labels belong to the recording whose file had the same stem when it was labelled.

    Args:
        labels: a folder of ``.lab``, ``.jams`` or ``.json`` files, in it and below it.
        corpus: with the features; its own labels are not used.
        name, weight: of the source.
        song_pattern: as :func:`chordtool.matching.song_names` has it.

    Raises:
        UsageError: ``labels`` is no folder, or there are no labels.
        CorpusError: the manifest cannot be read.
        TrainingError: no label file has a recording, or one is broken.
    """
    recordings = {
        _without_root(r.row.path or r.audio_sha256): r for r in corpus.recordings() if r.frames
    }
    files = label_files(labels)
    matches = match_by_name(files, labels, recordings, _ROOT)
    if not matches.pairs:
        raise TrainingError(
            f"None of the {len(files)} label files in {labels} has a recording in the corpus "
            f"{corpus.path}.",
            hint="They belong together by name: a recording of song.flac and song.lab.",
        )
    tracks = []
    for (file, partner), song in zip(matches.pairs, matches.songs(song_pattern), strict=True):
        recording = recordings[partner]
        frames = label_frames(read_labels(file), corpus.front_end, recording.frames)
        tracks.append(
            Track(
                key=recording.row.path or recording.audio_sha256, song=song, path=recording.path,
                n_frames=recording.frames, labels=frames, posteriors=read_codes,
                digest=recording.row.recording_sha256,
            )
        )  # fmt: skip
    return Source(name, tuple(tracks), corpus.front_end, weight), matches


def check_teachers(corpus: Corpus, wanted: Sequence[str]) -> None:
    """Refuse a corpus whose posteriors are of other teachers than those wanted, if any are.

    Raises:
        UsageError: they are.
    """
    there = [str(teacher["name"]) for teacher in corpus.description.teachers]
    if wanted and set(wanted) != set(there):
        raise UsageError(
            f"The corpus {corpus.path} was labelled by {'+'.join(there)}, not by "
            f"{'+'.join(wanted)}.",
            hint="Say so: " + " ".join(f"--teacher {name}" for name in there) + ".",
        )


def _without_root(path: str) -> Path:
    whole = Path(path)
    return Path(*whole.parts[1:]) if whole.is_absolute() else whole
