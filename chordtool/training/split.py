"""Which songs a student learns from, which judge it, and which are put aside."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from chordtool.errors import TrainingError, UsageError
from chordtool.training.config import TrainConfig
from chordtool.training.data import Source, Track

SPLIT: Final = "split.json"
"""The file of a run with its split."""
MAX_SPLIT_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class Split:
    """Songs by what they are for."""

    train: tuple[Source, ...]
    validation: tuple[Source, ...]
    test: tuple[Source, ...]

    def songs(self) -> dict[str, list[str]]:
        """Names of the songs, JSON-ready."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            part: sorted({t.song for source in sources for t in source.tracks})
            for part, sources in parts.items()
        }


def split_songs(
    sources: Sequence[Source], config: TrainConfig, given: dict[str, list[str]] | None = None
) -> Split:
    """Split by song: a song's recordings are all in one part, in whichever source they are.

    Where sources name a file's song differently, as names depend on what else is there, what is
    put aside in one is not trained on in another.

    The songs are sorted, shuffled with the seed, and cut. With ``given`` the songs that it
    names go where it says, and the others train.

    Raises:
        TrainingError: a part that is needed would be empty.
    """
    songs = sorted({t.song for s in sources if s.validates for t in s.tracks})
    if given is not None:
        validation, test = set(given.get("validation", ())), set(given.get("test", ()))
    else:
        order = np.random.default_rng(config.seed).permutation(len(songs))
        shuffled = [songs[i] for i in order]
        n_validation = _share(len(songs), config.validation_share)
        n_test = _share(len(songs), config.test_share)
        if songs and n_validation + n_test >= len(songs):
            raise _empty("training", len(songs), given)
        validation = set(shuffled[:n_validation])
        test = set(shuffled[n_validation : n_validation + n_test])

    away = validation | test
    files = {_file(t) for s in sources if s.validates for t in s.tracks if t.song in away}

    def part(wanted: Callable[[Track], bool], held_out: bool) -> tuple[Source, ...]:
        chosen = []
        for source in sources:
            if held_out and not source.validates:
                continue
            tracks = tuple(t for t in source.tracks if wanted(t))
            if tracks:
                chosen.append(replace(source, tracks=tracks))
        return tuple(chosen)

    split = Split(
        train=part(lambda t: t.song not in away and _file(t) not in files, False),
        validation=part(lambda t: t.song in validation, True),
        test=part(lambda t: t.song in test, True),
    )
    if not split.train:
        raise _empty("training", len(songs), given)
    if not split.validation and config.validation_share > 0:
        raise _empty("validation", len(songs), given)
    return split


def _file(track: Track) -> str:
    return os.path.abspath(track.key)  # noqa: PTH100 - as a corpus has the paths of its audio


def _share(n: int, share: float) -> int:
    return 0 if share == 0 else max(1, round(n * share))


def _empty(part: str, n_songs: int, given: dict[str, list[str]] | None) -> TrainingError:
    if given is not None:
        return TrainingError(
            f"The {part} split is empty: the file of --split leaves none of the {n_songs} songs "
            "for it.",
            hint="Names in it are those of a run's split.json: stems of files, without suffix.",
        )
    return TrainingError(
        f"The {part} split is empty: there are {n_songs} songs.",
        hint="Give more songs, or other values of --validation-share and --test-share.",
    )


def read_split(path: str | None) -> dict[str, list[str]] | None:
    """A split that was written down, in a file or in the folder of a run; ``None`` without a path.

    Raises:
        UsageError: the file is not one.
    """
    if path is None:
        return None
    hint = "It is JSON like the split.json of a run: train, validation, test, lists of names."
    file = Path(path) / SPLIT if Path(path).is_dir() else Path(path)
    try:
        if file.stat().st_size > MAX_SPLIT_BYTES:
            raise ValueError
        document = json.loads(file.read_text(encoding="utf-8"))
        parts = {str(k): [str(n) for n in v] for k, v in document.items() if isinstance(v, list)}
        if len(parts) != len(document):
            raise ValueError
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint=hint) from None
    except (ValueError, AttributeError, RecursionError):
        raise UsageError(f"{file} is not a split.", hint=hint) from None
    if set(parts) - {"train", "validation", "test"} or not parts:
        raise UsageError(f"{file} is not a split.", hint=hint)
    times = Counter(song for names in parts.values() for song in set(names))
    if twice := [song for song, count in times.items() if count > 1]:
        raise UsageError(
            f"{file} is not a split: {twice[0]!r} is in two of its parts.",
            hint="What judges a student must not be what it learnt.",
        )
    return parts
