"""The song's path, end to end: audio -> features -> frame logits -> chord segments."""

from __future__ import annotations

import math
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chordtool import audio
from chordtool.audio.loading import Source
from chordtool.decoding import Decoding, decode
from chordtool.errors import UsageError
from chordtool.hearing import UnderWay, hear, load
from chordtool.models import Model, load_model
from chordtool.models.onnx import OnnxModel
from chordtool.segments import Segment, Transcription
from chordtool.types import Logits, Samples
from chordtool.vocabulary import VOCABULARIES, reduce_logits


class Transcriber:
    """A model that is ready to write down the chords of recordings, one at a time.

    It can be pickled for other processes of the same machine; plug-ins' models if they can be.

    Args:
        model: a model, the name of a registered one, or the path of an exported ``.onnx`` file.
        vocabulary: ``"large"`` or ``"majmin"``; the model's own by default. A model that knows
            the large one can answer in either.
        decoding: how frame logits become segments; as the model's card says by default.
        top: how many alternatives a segment carries, at most.
        beats: name of a beat tracker, to move chord changes onto beats and to mark bars;
            :meth:`transcribe_samples` does not heed it.

    Raises:
        ModelUnavailableError: there is no such model, or its weights are not here.
        ModelError: the model file is broken.
        UsageError: the model does not know the vocabulary, ``top`` is negative, there is no such
            beat tracker, or the plug-in that brings it is broken.
    """

    def __init__(
        self,
        model: Model | str | Path = "default",
        *,
        vocabulary: str | None = None,
        decoding: Decoding | None = None,
        top: int = 3,
        beats: str | None = None,
    ) -> None:
        self.model = load_model(model) if isinstance(model, str | Path) else model
        card = self.model.card
        self.vocabulary = vocabulary or card.vocabulary
        if self.vocabulary not in VOCABULARIES:
            raise UsageError(
                f"There is no vocabulary named {self.vocabulary!r}.",
                hint="Known vocabularies: " + ", ".join(VOCABULARIES) + ".",
            )
        if card.vocabulary == "majmin" and self.vocabulary == "large":
            raise UsageError(
                f"The model {card.name!r} knows the majmin vocabulary only.",
                hint="Leave --vocabulary out, or choose another --model.",
            )
        if top < 0:  # as the end of a slice, it would count from the unlikeliest
            raise UsageError(f"There cannot be {top} alternatives.", hint="0 is none of them.")
        self.decoding = decoding or card.decoding
        self.top = top
        self.beats = beats
        if beats is not None:
            from chordtool.beats import load_tracker

            load_tracker(beats)  # an unknown one is an error before any work

    def transcribe(self, source: Path | str | BinaryIO | UnderWay) -> Transcription:
        """Write down the chords of an audio file, of a stream of one, or of one under way.

        Raises:
            UsageError: the source is none of these, or a stream of text.
            AudioError: the source cannot be read as audio.
            ModelError: the model fails.
            ChordtoolError: the beat tracker fails, if beats were asked for.
        """
        _check_source(source, "Give a path or a binary stream; transcribe_samples takes samples.")
        given = Path(source) if isinstance(source, str | PathLike) else source
        stream_or_path = given.source if isinstance(given, UnderWay) else given
        if isinstance(self.model, OnnxModel) and self.beats is None:
            heard = hear(self.model, given)
            segments = self._decode(heard.logits, heard.seconds)
            return self._written(segments, heard.seconds, stream_or_path, heard.facts)
        recording = load(given, self.model.card.front_end.sample_rate)
        logits = self.model.logits(self.model.features(recording.samples))
        segments = self._decode(logits, recording.seconds)
        found = self._written(segments, recording.seconds, stream_or_path, recording.facts)
        if self.beats is None:
            return found
        from chordtool.beats import add_beats

        return add_beats(found, recording.samples, recording.sample_rate, self.beats)

    def transcribe_samples(self, samples: Samples, seconds: float | None = None) -> Transcription:
        """Write down the chords of mono samples at the model's sample rate.

        Args:
            samples: float32 [n], finite.
            seconds: exact length of the recording, if the samples were rounded to it.

        Raises:
            UsageError: the samples have another type or shape or are not finite, or the length is
                no number of seconds.
            ModelError: the model fails.
        """
        from chordtool.audio.samples import check_samples

        check_samples(samples, mono=True)
        if seconds is None:
            seconds = len(samples) / self.model.card.front_end.sample_rate
        seconds = _length(seconds)
        logits = self.model.logits(self.model.features(samples))
        return Transcription(
            self._decode(logits, seconds),
            seconds,
            model=self.model.card.name,
            vocabulary=self.vocabulary,
        )

    def _written(
        self,
        segments: tuple[Segment, ...],
        seconds: float,
        source: Source,
        facts: audio.SourceFacts,
    ) -> Transcription:
        return Transcription(
            segments,
            seconds,
            source=str(source) if isinstance(source, Path) else "-",
            model=self.model.card.name,
            vocabulary=self.vocabulary,
            metadata=_tags(facts),
        )

    def beside_others(self) -> Transcriber:
        """Itself, for a worker process among several: they share the cores among recordings."""
        if isinstance(self.model, OnnxModel):
            self.model.threads = 1
        return self

    def _decode(self, logits: Logits, seconds: float) -> tuple[Segment, ...]:
        if self.vocabulary != self.model.card.vocabulary:
            logits = reduce_logits(logits)
        edges = self.model.card.front_end.frame_edges(len(logits), seconds)
        return decode(logits, edges, VOCABULARIES[self.vocabulary], self.decoding, top=self.top)


def transcribe(
    source: Path | str | BinaryIO | NDArray[np.floating[Any]],
    model: Model | str | Path = "default",
    *,
    vocabulary: str | None = None,
    sample_rate: int | None = None,
) -> Transcription:
    """Write down the chords of one recording; see :class:`Transcriber`.

    Args:
        source: an audio file, a stream of one, or its samples: float [n] or [n, channels].
        model: a model, the name of a registered one, or the path of an exported ``.onnx`` file.
        vocabulary: ``"large"`` or ``"majmin"``; the model's own by default.
        sample_rate: Hz; of samples, which do not say it themselves.

    Raises:
        UsageError: the source is none of these; samples come without their rate or in another
            form, or a file with one.
        AudioError: the source cannot be read as audio.
        ModelError: the model file is broken, or the model fails.
        ModelUnavailableError: there is no such model, or its weights are not here.
    """
    samples = isinstance(source, np.ndarray)
    if not samples:
        _check_source(
            source, "Give a path, a binary stream, or an array of numpy with its sample rate."
        )
    if samples != (sample_rate is not None):
        raise UsageError(
            "Samples come with their sample rate, files without.",
            hint="For example: transcribe(samples, sample_rate=44100).",
        )
    transcriber = Transcriber(model, vocabulary=vocabulary)
    if not isinstance(source, np.ndarray):
        return transcriber.transcribe(source)
    from chordtool.audio.samples import to_mono

    assert sample_rate is not None, "samples have one"
    return transcriber.transcribe_samples(
        *to_mono(source, sample_rate, transcriber.model.card.front_end.sample_rate)
    )


def _check_source(source: object, hint: str) -> None:
    """Refuse what is neither a recording nor a way to one."""
    if hasattr(source, "encoding"):  # what reads text has one, whatever its class
        raise UsageError("The stream is open as text.", hint='Open the file with open(path, "rb").')
    if not isinstance(source, str | PathLike | UnderWay) and not hasattr(source, "read"):
        raise UsageError(f"The source is of the type {type(source).__name__}.", hint=hint)


def _length(seconds: object) -> float:
    """A recording's length as a caller gives it."""
    try:
        number = isinstance(seconds, Real) and not isinstance(seconds, bool)
        length = float(seconds) if number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        length = math.inf
    if not 0 <= length < math.inf:
        raise UsageError(
            "A recording's length is a finite number of seconds, not below 0.",
            hint="Leave seconds out, and the samples are counted.",
        )
    return length


def _tags(facts: audio.SourceFacts) -> dict[str, str]:
    tags = {"title": facts.title, "artist": facts.artist}
    return {name: text for name, text in tags.items() if text}
