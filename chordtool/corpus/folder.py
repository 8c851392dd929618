"""A corpus on disk: where things lie in its folder, and how to read them.

::

    corpus.json                      what the corpus is made with
    manifest.jsonl                   one line for each recording
    recordings/ab/ab12....safetensors   features, labels, posteriors; named by the audio's hash
    claims/                          who is working on what, while somebody is
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.corpus.claims import Claims
from chordtool.corpus.manifest import LABELLED, Manifest, Row
from chordtool.corpus.recording import Arrays, Recording
from chordtool.errors import CorpusError
from chordtool.files import PART_PATTERN, atomic_write, read_bounded
from chordtool.frontend import FrontEnd

CORPUS_SCHEMA: Final = 1
"""Version of the folder's layout. Folders that are newer than this are refused."""
MAX_DESCRIPTION_BYTES: Final = 1 << 20
"""Of ``corpus.json``; it takes a few hundred."""
_LABEL_AGAIN: Final = "Run label-corpus again with the same options; what is labelled stays."


class _DamagedError(CorpusError):
    """``corpus.json`` is not what this program writes."""


def recording_path(corpus: Path, audio_sha256: str) -> Path:
    """Where a corpus keeps the labelled recording of some audio."""
    return corpus / "recordings" / audio_sha256[:2] / f"{audio_sha256}.safetensors"


@dataclass(frozen=True)
class Description:
    """What a corpus is made with: ``corpus.json``."""

    front_end: FrontEnd
    """What the stored features are."""
    teachers: tuple[dict[str, Any], ...]
    """``name``, ``sha256`` and ``weight`` of each teacher."""
    labels_fingerprint: str
    """Tells labels of different teachers, weights or frames apart."""
    average: str = "geometric"
    """How several teachers are averaged: ``"geometric"`` or ``"arithmetic"``."""
    filter_confidence: float = 0.0
    """Frames on which the likeliest class has a lower posterior have no label."""

    def to_json(self) -> str:
        """The content of ``corpus.json``."""
        document = {
            "schema": CORPUS_SCHEMA,
            "vocabulary": "large",
            "front_end": self.front_end.to_dict(),
            "front_end_fingerprint": self.front_end.fingerprint,
            "teachers": list(self.teachers),
            "average": self.average,
            "filter_confidence": self.filter_confidence,
            "labels_fingerprint": self.labels_fingerprint,
        }
        return json.dumps(document, sort_keys=True, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path) -> Description:
        """Read ``corpus.json``; ``path`` is for messages only.

        Raises:
            CorpusError: it is broken, or newer than this program.
        """
        try:
            document = json.loads(text)
            schema = document["schema"]
            if isinstance(schema, int) and schema > CORPUS_SCHEMA:
                raise CorpusError(
                    f"{path} has schema {schema}, newer than this program knows.",
                    hint="Upgrade chordtool: pipx upgrade chordtool.",
                )
            return cls(
                front_end=FrontEnd.from_dict(document["front_end"]),
                teachers=tuple(dict(t) for t in document["teachers"]),
                labels_fingerprint=str(document["labels_fingerprint"]),
                average=str(document.get("average", "geometric")),
                filter_confidence=float(document.get("filter_confidence", 0.0)),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise _DamagedError(f"{path} is broken.", hint=_LABEL_AGAIN) from None


@dataclass(frozen=True)
class CorpusRecording:
    """One recording of a corpus; its arrays stay on disk until they are asked for."""

    path: Path
    """The safetensors file."""
    row: Row
    """The manifest's row; one of them, if the same audio lies at several paths."""

    @property
    def audio_sha256(self) -> str:
        """sha256 of the audio; a stable name of the recording."""
        return self.row.audio_sha256

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.row.seconds

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.row.frames

    @property
    def agreement(self) -> float | None:
        """Share of frames on which the teachers agree, 0..1; ``None`` with one teacher."""
        return self.row.agreement

    @property
    def music(self) -> bool:
        """Whether the recording seems to hold music."""
        return self.row.music

    def open(self) -> Recording:
        """The file, memory-mapped.

        Raises:
            CorpusError: it is missing, broken, or newer than this program.
        """
        return Recording(self.path)

    def load(self, start: int = 0, stop: int | None = None) -> Arrays:
        """Features float16 [frames, bins], labels int16 [frames], codes uint8 [frames, 170].

        Raises:
            CorpusError: the file is missing or broken.
        """
        return self.open().load(start, stop)

    def posteriors(
        self, start: int = 0, stop: int | None = None, temperature: float = 1.0
    ) -> NDArray[np.float32]:
        """Teacher posteriors, float32 [frames, 170]; softened if ``temperature`` is above 1.

        Raises:
            CorpusError: the file is missing or broken.
        """
        return self.open().posteriors(start, stop, temperature)


class Corpus:
    """A folder of labelled recordings.

    >>> corpus = Corpus.open("corpus/")                                 # doctest: +SKIP
    >>> for recording in corpus.recordings():                           # doctest: +SKIP
    ...     arrays = recording.load()
    """

    def __init__(self, path: Path, description: Description) -> None:
        self.path = path
        self.description = description
        self.manifest = Manifest(path / "manifest.jsonl", path / ".lock")

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Open an existing corpus.

        Raises:
            CorpusError: the folder is missing, is no corpus, or is newer than this program.
        """
        folder = Path(path)
        file = folder / "corpus.json"
        try:
            text = read_bounded(file, MAX_DESCRIPTION_BYTES).decode()
        except FileNotFoundError:
            raise CorpusError(
                f"{folder} is not a corpus: it has no corpus.json.",
                hint="Make one with: chordtool label-corpus FOLDER -o CORPUS",
            ) from None
        except UnicodeDecodeError:
            raise _DamagedError(f"{file} is broken.", hint=_LABEL_AGAIN) from None
        except OSError as error:
            raise CorpusError(
                f"{file} cannot be read: {error.strerror}.", hint="Look at its permissions."
            ) from None
        return cls(folder, Description.from_json(text, file))

    @classmethod
    def check(cls, path: str | Path) -> None:
        """Refuse a folder that no corpus of this program can be in; write nothing.

        A corpus whose ``corpus.json`` is damaged is none of these: :meth:`create` writes it anew,
        and recordings know by themselves what they were labelled with.

        Raises:
            CorpusError: it holds something else, or is newer than this program.
        """
        folder = Path(path)
        try:
            if (folder / "corpus.json").is_file():
                foreign = not _can_be_described(folder)
            else:
                foreign = folder.exists() and (not folder.is_dir() or _holds_something_else(folder))
        except OSError as error:
            raise CorpusError(f"{folder} cannot be read: {error.strerror}.") from None
        if foreign:
            raise CorpusError(
                f"{folder} is neither empty nor a corpus.", hint="Choose another folder."
            )

    @classmethod
    def create(cls, path: str | Path, description: Description) -> Corpus:
        """Make a corpus, or go on with one, whose recordings are made as described.

        Raises:
            CorpusError: the folder holds something else, is newer than this program, or another
                run is labelling it with other settings.
            OSError: the folder cannot be written to.
        """
        cls.check(path)
        folder = Path(path)
        file = folder / "corpus.json"
        for name in ("recordings", "claims"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        corpus = cls(folder, description)
        text = description.to_json()
        described = read_bounded(file, MAX_DESCRIPTION_BYTES) if file.is_file() else None
        if described != text.encode():
            if described is not None:
                corpus.refuse_company(
                    "Another run is labelling this corpus with other settings.",
                    hint="Wait for it, or choose another folder.",
                )
            _describe(file, text)
        return corpus

    @property
    def front_end(self) -> FrontEnd:
        """What the stored features are."""
        return self.description.front_end

    @property
    def claims_folder(self) -> Path:
        """Where claims lie."""
        return self.path / "claims"

    def recording_path(self, audio_sha256: str) -> Path:
        """Where the labelled recording of some audio lies."""
        return recording_path(self.path, audio_sha256)

    def refuse_company(self, message: str, *, hint: str) -> None:
        """Refuse to go on while a run is labelling this corpus.

        Raises:
            CorpusError: one is; with the message and the hint.
            OSError: the folder of claims cannot be written to.
        """
        if not self.claims_folder.is_dir():
            return
        with Claims(self.claims_folder) as claims:
            claims.sweep()
            if claims.others():
                raise CorpusError(message, hint=hint)

    def unfinished(self) -> list[Path]:
        """Files that somebody was writing, or is."""
        places = PART_PATTERN, f"*/*/{PART_PATTERN}"
        return [path for place in places for path in self.path.glob(place)]

    def is_current(self, row: Row) -> bool:
        """Whether a row's recording is labelled, and with what the corpus is made with now."""
        return (
            row.status == LABELLED
            and row.front_end == self.front_end.fingerprint
            and row.labels_fingerprint == self.description.labels_fingerprint
        )

    def rows(self) -> tuple[Row, ...]:
        """All rows of the manifest, in a stable order.

        Raises:
            CorpusError: the manifest cannot be read.
        """
        rows, _ = self.manifest.read()
        return tuple(rows[key] for key in sorted(rows))

    def recordings(self) -> tuple[CorpusRecording, ...]:
        """The labelled recordings, one for each distinct audio, sorted by its hash.

        Rows that were labelled with other teachers or another front end than the corpus has
        now are left out.

        Raises:
            CorpusError: the manifest cannot be read.
        """
        current = {row.audio_sha256: row for row in self.rows() if self.is_current(row)}
        return tuple(
            CorpusRecording(self.recording_path(audio), current[audio]) for audio in sorted(current)
        )


def _describe(file: Path, text: str) -> None:
    """Write the description.

    A run that begins at the same moment may tidy the unfinished file away: whoever writes it holds
    no claim yet, and it looks like a dead one's.
    """
    for last in (False, False, True):
        try:
            with atomic_write(file, "w") as out:
                out.write(text)
            return
        except FileNotFoundError:
            if last:
                raise


def _can_be_described(folder: Path) -> bool:
    """Whether a folder's corpus.json is a corpus's, be it a damaged one."""
    try:
        Corpus.open(folder)
    except _DamagedError:
        return (folder / "recordings").is_dir()
    return True


def _holds_something_else(folder: Path) -> bool:
    # What a killed run may have left before corpus.json was there.
    ours = {"recordings", "claims"}
    return any(p.name not in ours and not p.match(PART_PATTERN) for p in folder.iterdir())
