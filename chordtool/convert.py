"""Written chords become other written chords: moved, simplified, respelt, in another format."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chordtool import vocabulary
from chordtool.errors import FormatError, UsageError
from chordtool.files import atomic_write, place_of, require_regular
from chordtool.formats import (
    FormatOptions,
    format_for_path,
    read_transcription,
    render,
    spare_terminal,
)
from chordtool.formats.text import clean
from chordtool.segments import Alternative, Segment, Transcription

SIMPLIFICATIONS: Final = ("none", "majmin", "triads")
MAX_CAPO: Final = 11

_TRIADS: Final = {
    "maj": "maj", "maj6": "maj", "maj7": "maj", "7": "maj",
    "min": "min", "min6": "min", "min7": "min", "minmaj7": "min",
    "dim": "dim", "dim7": "dim", "hdim7": "dim",
    "aug": "aug", "sus2": "sus2", "sus4": "sus4",
}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """What happens to chords on the way."""

    transpose: int = 0
    """Semitones up, negative for down."""
    capo: int = 0
    """Write the chords that sound right with a capo at this fret, 0..11."""
    simplify: str = "none"
    """``"none"``, ``"majmin"`` (every chord major or minor) or ``"triads"`` (no sevenths); a power
    chord, which is neither, becomes ``X``."""

    def __post_init__(self) -> None:
        if self.simplify not in SIMPLIFICATIONS:
            raise UsageError(
                f"Chords cannot be simplified to {self.simplify!r}.",
                hint=f"Known ways: {', '.join(SIMPLIFICATIONS)}.",
            )
        if not 0 <= self.capo <= MAX_CAPO:
            raise UsageError(f"A capo goes on a fret from 1 to {MAX_CAPO}, not {self.capo}.")


def convert(transcription: Transcription, conversion: Conversion) -> Transcription:
    """The chords after a conversion; neighbours that have become the same chord are one.

    Raises:
        LabelError: a label is not a chord.
    """
    shift = conversion.transpose - conversion.capo
    segments = transcription.segments
    if shift % 12:
        segments = _mapped(segments, lambda label: vocabulary.transpose(label, shift))
    if conversion.simplify != "none":
        rule = majmin_label if conversion.simplify == "majmin" else triad_label
        segments = joined([_pooled(s, rule) for s in segments])
    known = transcription.vocabulary
    if conversion.simplify == "majmin":
        # A power chord is neither, and becomes X, which only the large vocabulary has.
        readings = (
            label for s in segments for label in (s.label, *(a.label for a in s.alternatives))
        )
        known = "large" if "X" in readings else "majmin"
    return replace(transcription, segments=segments, vocabulary=known)


def convert_file(
    source: Path,
    target: Path | None,
    conversion: Conversion,
    *,
    format_name: str | None = None,
    usual_format: str = "lab",
    options: FormatOptions | None = None,
    overwrite: bool = False,
) -> bytes | None:
    """Read a file of chords, convert it, and write it in the target's format.

    Args:
        source: a file that :func:`chordtool.formats.read_transcription` reads, or ``-``.
        target: where it goes; ``None`` to have the bytes back.
        conversion: what happens on the way.
        format_name: the target's format, if its suffix does not say it.
        usual_format: the format where neither says it, since there is no target.
        options: what the caller asks of the format.
        overwrite: replace a target that exists, or the file that it is a link to.

    Raises:
        UsageError: the target's format is unknown, the target is the source, a terminal cannot
            show the format, or a recording that is to be embedded is not named.
        FormatError: the source cannot be read, or the target exists, is a pipe or a device, or
            cannot be written.
        LabelError: the source has a label that is not a chord.
    """
    if target is not None:
        _look_at_target(source, target, overwrite)
    options = options or FormatOptions()
    if format_name is None:
        format_name = usual_format if target is None else format_for_path(target).name
    if target is None:
        spare_terminal(format_name)
    _look_for_audio(options)
    found = read_transcription(source)
    title = options.title
    named = found.source not in ("", "-") or clean(found.metadata.get("title", ""))
    if not named and source != Path("-"):
        title = title or source.stem  # the recording has no name that is known
    chosen = replace(options, title=title, capo=conversion.capo, target=target)
    data = render(convert(found, conversion), format_name, chosen)
    if target is None:
        return data
    try:
        with atomic_write(place_of(target)) as file:
            file.write(data)
    except OSError as error:
        raise FormatError(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Choose a folder that exists and that you may write to.",
        ) from None
    return None


def _look_at_target(source: Path, target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    try:
        require_regular(target)
    except OSError as error:
        raise FormatError(
            f"{target} cannot be written: {error.strerror}.",
            hint="Name a file; - is standard output.",
        ) from None
    if source.exists() and target.samefile(source):
        raise UsageError(f"{target} would be written over itself.", hint="Choose another name.")
    if not overwrite:
        raise FormatError(f"{target} exists already.", hint="Use --overwrite, or another name.")


def _look_for_audio(options: FormatOptions) -> None:
    if options.audio is None:
        if options.embed_audio:
            raise UsageError(
                "The recording that is to be embedded is not known.", hint="Name it with --audio."
            )
    elif not options.embed_audio and not options.audio.exists():
        warnings.warn(f"{options.audio} is not there; the page will ask for it.", stacklevel=3)


def majmin_label(label: str) -> str:
    """The major or minor chord that stands for a chord; ``N`` and ``X`` stay.

    A power chord is ``X``, as for :func:`chordtool.vocabulary.class_of`: it has no third that says.

    Raises:
        LabelError: the label is not a chord.
    """
    target = int(vocabulary.majmin_of_large()[vocabulary.class_of(label)])
    return "X" if target == vocabulary.MASKED else vocabulary.MAJMIN[target]


def triad_label(label: str) -> str:
    """The triad below a chord's sevenths, sixths and bass; ``N`` and ``X`` stay.

    Raises:
        LabelError: the label is not a chord.
    """
    chord = vocabulary.parse(label)
    if chord.root is None or chord.quality not in _TRIADS:
        return "N" if chord.quality == "N" else "X"
    triad = _TRIADS[chord.quality]
    root = vocabulary.ROOTS[chord.root]
    return root if triad == "maj" else f"{root}:{triad}"


def joined(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments of which no two neighbours have the same label; confidences are averaged."""
    whole: list[Segment] = []
    for segment in segments:
        if whole and whole[-1].label == segment.label:
            whole[-1] = _join(whole[-1], segment)
        else:
            whole.append(segment)
    return tuple(whole)


def _mapped(segments: Sequence[Segment], rule: Callable[[str], str]) -> tuple[Segment, ...]:
    return tuple(
        replace(
            s,
            label=rule(s.label),
            alternatives=tuple(replace(a, label=rule(a.label)) for a in s.alternatives),
        )
        for s in segments
    )


def _pooled(segment: Segment, rule: Callable[[str], str]) -> Segment:
    """A segment in a smaller vocabulary: readings that become the same add their confidence.

    The label stays the one that was decided, even where the others add up to more.
    """
    pool: dict[str, float] = {rule(segment.label): segment.confidence}
    for alternative in segment.alternatives:
        label = rule(alternative.label)
        pool[label] = pool.get(label, 0.0) + alternative.confidence
    label, *others = pool
    ranked = sorted(others, key=lambda other: -pool[other])
    return replace(
        segment,
        label=label,
        confidence=min(1.0, pool[label]),
        alternatives=tuple(Alternative(other, min(1.0, pool[other])) for other in ranked),
    )


def _join(first: Segment, second: Segment) -> Segment:
    share = second.seconds / (first.seconds + second.seconds)

    def mean(a: float, b: float) -> float:
        return (1 - share) * a + share * b

    there = {a.label: a.confidence for a in first.alternatives}
    here = {a.label: a.confidence for a in second.alternatives}
    pool = {name: mean(there.get(name, 0.0), here.get(name, 0.0)) for name in there | here}
    ranked = sorted(pool, key=lambda name: -pool[name])
    return Segment(
        first.start,
        second.end,
        first.label,
        mean(first.confidence, second.confidence),
        tuple(Alternative(name, pool[name]) for name in ranked),
    )
