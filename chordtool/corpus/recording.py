"""One labelled recording: features, hard labels and teacher posteriors in a safetensors file.

The layout is documented in ``docs/reference/corpus.md``. A file says everything about itself
but where its audio lies, and carries a checksum of its own content.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from chordtool.corpus.compact import Codes, decode
from chordtool.errors import CorpusError
from chordtool.files import atomic_write, require_regular
from chordtool.frontend import FrontEnd
from chordtool.types import Labels
from chordtool.vocabulary import MASKED, N_CLASSES

RECORDING_SCHEMA: Final = 1
"""Version of the file's layout. Files that are newer than this are refused."""
METADATA_KEY: Final = "chordtool.recording"

StoredFeatures = NDArray[np.float16]

_TENSORS: Final = {"features": "F16", "labels": "I16", "posteriors": "U8"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(value: object) -> bool:
    """Whether a value is a sha256 in lower-case hex digits."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


@dataclass(frozen=True)
class Arrays:
    """What a recording holds, frame by frame."""

    features: StoredFeatures
    """float16 [frames, bins], log constant-Q, not normalised."""
    labels: Labels
    """int16 [frames], classes of the large vocabulary; :data:`~chordtool.vocabulary.MASKED`
    where the teachers were not sure enough."""
    codes: Codes
    """uint8 [frames, 170], :mod:`chordtool.corpus.compact`."""

    def digest(self) -> str:
        """sha256 of the arrays' bytes in the order features, labels, posteriors."""
        total = hashlib.sha256()
        for array in (self.features, self.labels, self.codes):
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


@dataclass(frozen=True)
class Metadata:
    """What a recording says about itself."""

    audio_sha256: str
    """sha256 of the audio file's bytes."""
    seconds: float
    """Length of the audio."""
    front_end: FrontEnd
    """What the features are."""
    posterior_step: float
    """Nats between two posterior codes."""
    teachers: tuple[dict[str, Any], ...]
    """``name``, ``sha256`` and ``weight`` of each teacher."""
    labels_fingerprint: str
    """Tells labels of different teachers, weights or frames apart."""
    content_sha256: str
    """:meth:`Arrays.digest`."""
    statistics: dict[str, Any]
    """:func:`chordtool.corpus.statistics.describe`."""

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        document = {
            "schema": RECORDING_SCHEMA,
            "audio_sha256": self.audio_sha256,
            "seconds": self.seconds,
            "front_end": self.front_end.to_dict(),
            "posterior_step": self.posterior_step,
            "teachers": list(self.teachers),
            "labels_fingerprint": self.labels_fingerprint,
            "content_sha256": self.content_sha256,
            "statistics": self.statistics,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Metadata:
        """Read what :meth:`to_json` wrote.

        Raises:
            CorpusError: it is something else, or newer than this program.
        """
        document = _object(text)
        schema = document.get("schema")
        if isinstance(schema, int) and schema > RECORDING_SCHEMA:
            raise CorpusError(
                f"A recording has schema {schema}, newer than this program knows.",
                hint="Upgrade chordtool: pipx upgrade chordtool.",
            )
        try:
            metadata = cls(
                audio_sha256=document["audio_sha256"],
                seconds=float(document["seconds"]),
                front_end=FrontEnd.from_dict(document["front_end"]),
                posterior_step=float(document["posterior_step"]),
                teachers=tuple(dict(t) for t in document["teachers"]),
                labels_fingerprint=str(document["labels_fingerprint"]),
                content_sha256=document["content_sha256"],
                statistics=dict(document["statistics"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise CorpusError("A recording's description is broken.") from None
        numbers = math.isfinite(metadata.seconds) and 0 < metadata.posterior_step < 100
        hashes = is_sha256(metadata.audio_sha256) and is_sha256(metadata.content_sha256)
        if schema != RECORDING_SCHEMA or not numbers or not hashes:
            raise CorpusError("A recording's description is broken.")
        return metadata


class Recording:
    """A labelled recording on disk, memory-mapped; nothing is read before it is asked for.

    Raises:
        CorpusError: the file is missing, broken, or newer than this program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            require_regular(path)
            file: Any = safe_open(path, framework="np")
            described = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in _TENSORS}
            shapes = {name: tuple(s.get_shape()) for name, s in slices.items()}
            kinds = {name: s.get_dtype() for name, s in slices.items()}
        except (SafetensorError, OSError, ValueError) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusError(f"{path} cannot be read: {why}.", hint=_REPAIR) from None
        if METADATA_KEY not in described:
            raise CorpusError(f"{path} is not a labelled recording.", hint=_REPAIR)
        self.metadata = Metadata.from_json(described[METADATA_KEY])
        frames = shapes["labels"][:1]
        expected = {
            "labels": frames,
            "features": (*frames, self.metadata.front_end.n_bins),
            "posteriors": (*frames, N_CLASSES),
        }
        if kinds != _TENSORS or shapes != expected or not frames:
            raise CorpusError(f"{path} holds arrays of another kind.", hint=_REPAIR)
        self._slices = slices
        self.frames = int(frames[0])

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.metadata.seconds

    def load(self, start: int = 0, stop: int | None = None) -> Arrays:
        """The arrays from frame ``start`` to before frame ``stop``, read from disk.

        Raises:
            CorpusError: the file can no longer be read, or a label is no class.
        """
        start, stop, _ = slice(start, stop).indices(self.frames)
        stop = max(start, stop)
        try:
            features, labels, codes = (self._slices[name][start:stop] for name in _TENSORS)
        except (SafetensorError, OSError) as error:
            raise CorpusError(f"{self.path} cannot be read: {error}.", hint=_REPAIR) from None
        if len(labels) and not (labels.min() >= MASKED and labels.max() < N_CLASSES):
            raise CorpusError(f"{self.path} has labels that are no class.", hint=_REPAIR)
        return Arrays(features, labels, codes)

    def posteriors(
        self, start: int = 0, stop: int | None = None, temperature: float = 1.0
    ) -> NDArray[np.float32]:
        """Teacher posteriors, float32 [frames, 170]; softened if ``temperature`` is above 1."""
        codes = self.load(start, stop).codes
        return decode(codes, self.metadata.posterior_step, temperature)

    def is_intact(self) -> bool:
        """Whether the arrays are those that were written."""
        try:
            return self.load().digest() == self.metadata.content_sha256
        except CorpusError:
            return False


_REPAIR: Final = "Run `chordtool corpus verify`, then `chordtool label-corpus` again."


def write_recording(path: Path, arrays: Arrays, metadata: Metadata) -> str:
    """Write a recording; same content, same bytes.

    Returns:
        sha256 of the file.

    Raises:
        OSError: the disk is full or the folder cannot be written to.
    """
    tensors: Mapping[str, NDArray[Any]] = {
        "features": np.ascontiguousarray(arrays.features, "<f2"),
        "labels": np.ascontiguousarray(arrays.labels, "<i2"),
        "posteriors": np.ascontiguousarray(arrays.codes),
    }
    # One metadata entry only: the library keeps several in no fixed order.
    data = save(dict(tensors), metadata={METADATA_KEY: metadata.to_json()})
    with atomic_write(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise CorpusError("A recording's description is broken.") from None
    if not isinstance(document, dict):
        raise CorpusError("A recording's description is broken.")
    return document
