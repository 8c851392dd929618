"""What recordings are labelled with: teachers, how they are averaged, which features are kept.

Fingerprints tell recipes apart, so that a change relabels what it touches and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from chordtool import catalogue
from chordtool.corpus.compact import STEP_NATS
from chordtool.corpus.folder import Description
from chordtool.errors import ChordtoolError, UsageError
from chordtool.frontend import BTC_FRONT_END, FrontEnd
from chordtool.models import Model, load_model
from chordtool.models.windows import Windows

LABELLING_VERSION: Final = 1
"""Raised when the same teachers would give other labels or posteriors than before."""
AVERAGES: Final = ("geometric", "arithmetic")
DEFAULT_TEACHER: Final = "lv"
_NAMED_FRONT_ENDS: Final = {"default": FrontEnd(), "btc": BTC_FRONT_END}
_SPARE = re.compile(r"(?P<name>[^+]+)\+(?P<semitones>\d{1,2})")


@dataclass(frozen=True)
class Teacher:
    """One of the models that label."""

    name: str
    """Name on its card."""
    source: str
    """What :func:`chordtool.models.load_model` takes: a registered name, or a file."""
    sha256: str
    """Of its card and weights."""
    weight: float = 1.0
    """Share in the average; the weights of all teachers add to one."""

    def describe(self) -> dict[str, Any]:
        """The teacher as a manifest shows it."""
        return {"name": self.name, "sha256": self.sha256, "weight": self.weight}


@dataclass(frozen=True)
class Recipe:
    """How recordings are labelled."""

    teachers: tuple[Teacher, ...]
    """At least one, sorted by name."""
    front_end: FrontEnd
    """Of the features that are kept, and of the frames that are labelled."""
    average: str = "geometric"
    """Of the teachers' posteriors: ``"geometric"`` or ``"arithmetic"``."""
    filter_confidence: float = 0.0
    """Frames on which the likeliest class has a lower posterior get no label."""

    @property
    def labels_fingerprint(self) -> str:
        """Sixteen hex digits; recipes that share them give the same labels and posteriors.

        Front ends with the same frames share labels, whatever their bins are.
        """
        described: dict[str, Any] = {
            "version": LABELLING_VERSION,
            "teachers": [[t.sha256, t.weight] for t in self.teachers],
            "average": self.average if len(self.teachers) > 1 else "",
            "frames": [
                self.front_end.sample_rate,
                self.front_end.hop_length,
                self.front_end.chunk_samples,
            ],
            "step": STEP_NATS,
        }
        if self.filter_confidence:
            described["filter"] = self.filter_confidence
        text = json.dumps(described, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> Description:
        """The recipe as a corpus states it."""
        return Description(
            front_end=self.front_end,
            teachers=tuple(teacher.describe() for teacher in self.teachers),
            labels_fingerprint=self.labels_fingerprint,
            average=self.average,
            filter_confidence=self.filter_confidence,
        )


def make_recipe(
    teachers: Sequence[str] = (DEFAULT_TEACHER,),
    *,
    weights: Sequence[float] = (),
    front_end: FrontEnd | None = None,
    average: str = "geometric",
    filter_confidence: float = 0.0,
) -> Recipe:
    """Look the teachers up and put a recipe together.

    Args:
        teachers: registered names or exported ``.onnx`` files.
        weights: one a teacher, positive; equal ones by default.
        front_end: of the features to keep; the students' own by default.
        average: how several teachers are averaged.
        filter_confidence: least posterior of a label, 0..1; 0 labels every frame.

    Raises:
        ModelUnavailableError: a teacher is unknown, or its weights are not here.
        ModelError: a teacher's file is broken.
        UsageError: the weights do not fit, or a teacher has another vocabulary.
    """
    if not teachers:
        raise UsageError("There is no teacher.", hint="Name one with --teacher.")
    if weights and (len(weights) != len(teachers) or not all(0 < w < 1e6 for w in weights)):
        raise UsageError(
            f"{len(teachers)} teachers need as many weights, all above 0.",
            hint="Give --weight once for each --teacher, in the same order.",
        )
    if average not in AVERAGES:
        raise UsageError(
            f"There is no average named {average!r}.", hint="Use " + " or ".join(AVERAGES) + "."
        )
    if not 0 <= filter_confidence <= 1:
        raise UsageError(
            f"A confidence of {filter_confidence:g} does not exist.", hint="It lies within 0..1."
        )
    total = sum(weights) or float(len(teachers))
    shares = [round(w / total, 6) for w in (weights or [1.0] * len(teachers))]
    found = [replace(look_up(name), weight=w) for name, w in zip(teachers, shares, strict=True)]
    if len({teacher.sha256 for teacher in found}) < len(found):
        raise UsageError("A teacher is named twice.", hint="Use --weight to make one count more.")
    found.sort(key=lambda teacher: (teacher.name, teacher.sha256))
    return Recipe(tuple(found), front_end or FrontEnd(), average, filter_confidence)


def look_up(source: str) -> Teacher:
    """A teacher by registered name or file, its weights hashed.

    Raises:
        ModelUnavailableError, ModelError, UsageError: it cannot be a teacher here.
    """
    model = load_model(source)
    if model.card.vocabulary != "large":
        raise UsageError(
            f"The model {model.card.name!r} cannot teach: it knows the majmin vocabulary only.",
            hint="Choose a model of the large vocabulary.",
        )
    return Teacher(model.card.name, source, hash_of(source, model))


def hash_of(source: str, model: Model) -> str:
    """sha256 of what decides a model's logits: its weights, as far as they are known to us, and
    the part of its card that says how they are used."""
    card = model.card
    used: dict[str, Any] = {
        "name": card.name,
        "architecture": card.architecture,
        "version": card.version,
        "vocabulary": card.vocabulary,
        "front_end": [card.front_end.fingerprint, card.front_end.mean, card.front_end.std],
        "segment_frames": card.segment_frames,
    }
    # Left out while it says nothing, so that models without windows keep their identity.
    if card.windows != Windows():
        used["windows"] = asdict(card.windows)
    total = hashlib.sha256(json.dumps(used, sort_keys=True, separators=(",", ":")).encode())
    if source in catalogue.CATALOGUE:
        for file in catalogue.CATALOGUE[source].files:
            total.update(file.sha256.encode())
    elif (path := Path(source)).is_file():
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    else:
        total.update(str(getattr(model, "weights_sha256", "")).encode())
    return total.hexdigest()


def parse_front_end(text: str) -> FrontEnd:
    """A front end from the command line.

    ``default``, ``btc``, or a model's name or file, whose card tells; with ``+6``, six spare
    semitones are kept below and above, for exact pitch shifts in training.

    Raises:
        UsageError: it is none of these, or there is no room for the spare semitones.
        ModelUnavailableError, ModelError: it is a model that cannot be loaded.
    """
    match = _SPARE.fullmatch(text)
    name, semitones = (match["name"], int(match["semitones"])) if match else (text, 0)
    base = _NAMED_FRONT_ENDS.get(name)
    if base is None:
        try:
            base = load_model(name).card.front_end
        except ChordtoolError as error:
            names = ", ".join(_NAMED_FRONT_ENDS)
            error.hint = f"{error.hint} Front ends by name: {names}; default+6 keeps spare bins."
            raise
    if base.kind != "cqt":
        raise UsageError(
            f"The front end of {name!r} is not one for students.", hint="Use default, or btc."
        )
    return with_spare(replace(base, mean=0.0, std=1.0), semitones)


def with_spare(front_end: FrontEnd, semitones: int) -> FrontEnd:
    """A front end with spare bins for so many semitones below and as many above.

    Raises:
        UsageError: the bins do not fall on semitones, or would pass half the sample rate.
    """
    if semitones == 0:
        return front_end
    per_octave = front_end.bins_per_octave
    spare, rest = divmod(semitones * per_octave, 12)
    fmin = front_end.fmin * 2.0 ** (-spare / per_octave)
    n_bins = front_end.n_bins + 2 * spare
    top = fmin * 2.0 ** ((n_bins + 0.5) / per_octave)
    if rest or top >= front_end.sample_rate / 2:
        raise UsageError(
            f"There is no room for {semitones} spare semitones.", hint="Ask for fewer of them."
        )
    return replace(front_end, fmin=fmin, n_bins=n_bins)


def spare_bins(stored: FrontEnd, wanted: FrontEnd) -> int | None:
    """How many bins lie below the wanted front end's in a corpus that keeps spare ones.

    Returns:
        The number of bins to leave out at the bottom; ``None`` if the stored features do not
        contain the wanted ones.
    """
    same = replace(stored, fmin=wanted.fmin, n_bins=wanted.n_bins, mean=wanted.mean, std=wanted.std)
    if same != wanted:
        return None
    below = math.log2(wanted.fmin / stored.fmin) * wanted.bins_per_octave
    bins = round(below)
    if abs(below - bins) > 1e-6 or not 0 <= bins <= stored.n_bins - wanted.n_bins:
        return None
    return bins
