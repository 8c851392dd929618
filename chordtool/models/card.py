"""The card of a model: everything about it that is not its weights.

The same card is stamped into ONNX files (metadata key ``chordtool.card``), into training
checkpoints, and is checked whenever one of them is loaded.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final

from chordtool.decoding import Decoding
from chordtool.errors import ModelError, first_line
from chordtool.frontend import FrontEnd
from chordtool.models.windows import DEFAULT_FRAMES, MOST_OVERLAPPING, Windows

CARD_SCHEMA: Final = 1
"""Version of the card's layout. A program refuses cards that are newer than it knows."""
CARD_KEY: Final = "chordtool.card"
"""Metadata key under which ONNX files and checkpoints carry their card."""
MAX_CARD_BYTES: Final = 1 << 20
_MOST_LEVELS: Final = 100
"""Of lists and objects in each other: a card is copied and written level by level."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is."""

    name: str
    """Name as users type it."""
    architecture: str
    """``"btc"``, ``"2e1d"``, ``"lv"``, ``"crema"``, or a plug-in's own word."""
    front_end: FrontEnd
    """How audio becomes the model's input."""
    version: str = "1"
    """Its maker's number for it; with another one the same weights may answer otherwise."""
    vocabulary: str = "large"
    """``"large"`` (170 classes) or ``"majmin"`` (25 classes)."""
    segment_frames: int | None = 108
    """Frames the forward pass sees at a time; ``None`` if it takes a whole recording."""
    windows: Windows = field(default_factory=Windows)
    """How it reads recordings that are longer than a segment."""
    decoding: Decoding = field(default_factory=Decoding)
    """How its logits become segments unless the caller says otherwise."""
    licence: str = ""
    """SPDX identifier of the weights' licence."""
    source: str = ""
    """Where the weights come from."""
    description: str = ""
    """One sentence."""
    teacher: str = ""
    """Name of the teacher it was distilled from, empty if none."""
    training: dict[str, Any] = field(default_factory=dict)
    """Training data with hashes and licences, recipe, parent model."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Scores, with the data they were measured on in the key."""

    def to_json(self) -> str:
        """The card as canonical JSON: sorted keys, no spaces."""
        document = {"schema": CARD_SCHEMA, **asdict(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises:
            ModelError: the text is no card, is too large, or is newer than this program.
        """
        if len(text) > MAX_CARD_BYTES:
            raise _broken("it is larger than 1 MiB")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise _broken("it is not JSON") from None
        if not isinstance(document, dict):
            raise _broken("it is not a JSON object")
        schema = document.pop("schema", None)
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise _broken("its schema version is missing")
        if schema > CARD_SCHEMA:
            raise ModelError(
                f"The model's card has schema {schema}, newer than this program knows.",
                hint="Upgrade chordtool: pipx upgrade chordtool.",
            )
        return cls._from_document(document)

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> ModelCard:
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in document.items() if key in known}
        for f in fields(cls):
            if f.default is MISSING and f.default_factory is MISSING and f.name not in values:
                raise _broken(f"its {f.name} is missing")
        try:
            values["front_end"] = FrontEnd.from_dict(values["front_end"])
            if "decoding" in values:
                values["decoding"] = Decoding.from_dict(values["decoding"])
            if "windows" in values:
                values["windows"] = Windows.from_dict(values["windows"])
            if values["front_end"].kind == "cqt":
                values["front_end"].check_computable()
            card = cls(**values)
        except (TypeError, ValueError) as error:
            raise _broken(first_line(error) or type(error).__name__) from None
        card._check()
        return card

    def _check(self) -> None:
        texts = ("name", "architecture", "version", "licence", "source", "description", "teacher")
        for key in texts:
            if not isinstance(getattr(self, key), str):
                raise _broken(f"{key} is not text")
        if self.vocabulary not in ("large", "majmin"):
            raise _broken(f"vocabulary {self.vocabulary!r} is unknown")
        frames = self.segment_frames
        if frames is not None and not (
            isinstance(frames, int) and not isinstance(frames, bool) and 1 <= frames <= 100_000
        ):
            raise _broken("segment_frames is not a whole number from 1 to 100000")
        if self.windows.overlapping(frames or DEFAULT_FRAMES) > MOST_OVERLAPPING:
            raise _broken(f"its frames are in more than {MOST_OVERLAPPING} windows")
        if not isinstance(self.training, dict) or not isinstance(self.metrics, dict):
            raise _broken("training or metrics is not an object")
        if not _ends_within(_MOST_LEVELS, self.training):
            raise _broken(f"training has more than {_MOST_LEVELS} levels")
        if not all(map(_is_score, self.metrics.values())):
            raise _broken("metrics are not all numbers")


def _ends_within(levels: int, value: object) -> bool:
    """Whether lists and objects in a JSON document lie in each other no deeper than that."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_ends_within(levels - 1, one) for one in inner)


def _is_score(value: object) -> bool:
    # A whole number may be too large for a float; NaN is what some scores of nothing are.
    return isinstance(value, float) or (type(value) is int and abs(value) < 1 << 53)


def _broken(why: str) -> ModelError:
    return ModelError(
        f"The model's card cannot be read: {why}.",
        hint="Use a file that `chordtool export` wrote.",
    )
