"""An exported student, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import threading
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chordtool.bounds import NETWORK_BYTES, bounded_memory
from chordtool.constantq import CqtStream, log_cqt
from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.files import require_regular
from chordtool.models.card import ModelCard
from chordtool.models.onnx_file import MAX_BYTES, OnnxFacts, inspect
from chordtool.models.seal import check_seal
from chordtool.models.windows import DEFAULT_FRAMES, Windows, WindowStream
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import VOCABULARIES

if TYPE_CHECKING:
    import onnxruntime

INPUT, OUTPUT = "features", "logits"
SECONDS_PER_BATCH = 120.0
"""A batch that takes longer than this is stopped: no student needs a hundredth of it."""


class OnnxModel:
    """A model in an ONNX file that carries its card.

    The file is checked when this is made; ONNX Runtime is set up by :meth:`prepare`, or when it
    is first needed.

    Args:
        data: the file.
        path: where the file is, if nobody but its owner can have changed it since; then ONNX
            Runtime reads it there, which spares a copy.
        threads: batches that are answered at the same time, one thread each. Results do not
            depend on it.

    Raises:
        ModelError: the file is broken, hostile, or not what its card says.
    """

    def __init__(self, data: bytes | mmap, *, path: Path | None = None, threads: int = 1) -> None:
        facts = inspect(data)
        _check_interface(facts)
        self.card: ModelCard = facts.card
        self.windows: Windows = facts.card.windows
        self._source: bytes | str = _utf8(path) or bytes(data)
        self.threads = threads
        self._session: onnxruntime.InferenceSession | None = None

    @classmethod
    def from_file(cls, path: Path, *, threads: int = 1) -> OnnxModel:
        """Read a model file.

        Raises:
            ModelUnavailableError: there is no such file.
            ModelError: it is damaged, or as the class says.
        """
        try:
            require_regular(path)
            if path.stat().st_size > MAX_BYTES:
                raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
            data = path.read_bytes()
        except OSError as error:
            raise ModelUnavailableError(
                f"The model {path} cannot be read: {error.strerror}.",
                hint="Name a file that `chordtool export` wrote, or one of `chordtool models`.",
            ) from None
        check_seal(data, str(path))
        return cls(data, threads=threads)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: it sets up ONNX Runtime for itself."""
        return {**self.__dict__, "_session": None}

    def prepare(self) -> None:
        """Set up ONNX Runtime; worth doing while audio is being decoded.

        Raises:
            ModelError: ONNX Runtime does not accept the file.
        """
        if self._session is not None:
            return
        from chordtool.models.runtime import PROVIDERS, onnxruntime

        options = onnxruntime.SessionOptions()
        # Threads share out batches, not operators: an operator's threads wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # What `chordtool export` writes leaves nothing to optimise; looking for it takes time.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The arena keeps what the largest batch took; a song is over too soon to gain by it.
        options.enable_cpu_mem_arena = False
        # Neither does it gain by weights laid out anew, and a graph's two copies cost memory.
        options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            with bounded_memory(NETWORK_BYTES):
                self._session = onnxruntime.InferenceSession(
                    self._source,
                    options,
                    providers=PROVIDERS,
                    enable_fallback=0,  # it would be announced on standard output
                )
        except Exception as error:  # ONNX Runtime has no common base class of its errors
            raise _failed("cannot be loaded", error) from None

    def features(self, samples: Samples) -> Features:
        """Log constant-Q features, float32 [frames, bins], not normalised."""
        return log_cqt(samples, self.card.front_end)

    def logits(self, features: Features) -> Logits:
        """Frame logits, float32 [frames, classes], through windows of the card's length.

        Raises:
            ModelError: the network fails on the features.
        """
        hearing = self.listen()
        hearing.add(features)
        return hearing.finish()

    def listen(self) -> Hearing:
        """Take in a recording while it is being decoded; see :class:`Hearing`."""
        self.prepare()
        frames = self.card.segment_frames or DEFAULT_FRAMES
        stream = WindowStream(self._forward, frames, self.windows, threads=self.threads)
        return Hearing(self.card, stream)

    def _forward(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        from chordtool.models.runtime import onnxruntime

        assert self._session is not None, "prepare makes the session"
        options = onnxruntime.RunOptions()
        watchdog = threading.Timer(SECONDS_PER_BATCH, _stop, [options])
        watchdog.daemon = True
        try:
            watchdog.start()
            with bounded_memory(NETWORK_BYTES):
                answer: Any = self._session.run([OUTPUT], {INPUT: batch}, options)[0]
        except Exception as error:  # as above
            raise _failed("failed on this recording", error) from None
        finally:
            watchdog.cancel()
            if watchdog.is_alive():
                # An interpreter that ends while a thread is ending, too, can crash.
                watchdog.join()
        if answer.ndim != 3 or answer.shape[:2] != batch.shape[:2]:
            raise ModelError("The model's answer has another number of frames than its input.")
        logits: NDArray[np.float32] = answer.astype(np.float32, copy=False)
        return logits


class Hearing:
    """A recording on its way through a student, from samples that arrive in pieces to logits.

    The logits are to the bit those of :meth:`OnnxModel.logits` on the features of all samples.
    """

    def __init__(self, card: ModelCard, windows: WindowStream) -> None:
        self._card = card
        self._windows = windows
        self._cqt = CqtStream(card.front_end)
        self._empty = True

    def advance(self, samples: Samples, *, alone: bool) -> None:
        """Hear the next samples, as far as is certain.

        Args:
            samples: float32 [n], those that follow on the earlier ones.
            alone: whether another thread is busy decoding, so that the windows are answered on
                this one alone.
        """
        self._windows.alone = alone
        for features in self._cqt.log_advance(samples, finished=False):
            self.add(features)

    def add(self, features: Features) -> None:
        """Take the next features, float32 [frames, bins], not normalised."""
        if len(features):
            self._empty = False
            self._windows.add(self._card.front_end.normalise(features))

    def finish(self) -> Logits:
        """The logits of all frames, float32 [frames, classes].

        Raises:
            ModelError: the network failed, or its answers are no logits.
        """
        self._windows.alone = False
        for features in self._cqt.log_advance(np.empty(0, np.float32), finished=True):
            self.add(features)
        classes = len(VOCABULARIES[self._card.vocabulary])
        if self._empty:
            self.close()
            return np.zeros((0, classes), np.float32)
        logits = self._windows.finish()
        if logits.shape[1] != classes or not np.isfinite(logits).all():
            raise ModelError(
                f"The model {self._card.name!r} gave answers that are no logits of its classes.",
                hint="Use a file that `chordtool export` wrote.",
            )
        return logits

    def close(self) -> None:
        """Give up on the recording."""
        self._windows.close()


def _utf8(path: Path | None) -> str | None:
    """A path as ONNX Runtime takes it; names may be made of any bytes, and then it takes none."""
    try:
        return str(path).encode().decode() if path else None
    except UnicodeEncodeError:
        return None


def _stop(options: Any) -> None:
    options.terminate = True


def _failed(what: str, error: Exception) -> ModelError:
    first = (str(error).splitlines() or [""])[0][:200].strip()
    return ModelError(
        f"The model {what}: {first or type(error).__name__}",
        hint="Use a file that `chordtool export` wrote.",
    )


def _check_interface(facts: OnnxFacts) -> None:
    """Inputs and outputs must be those of a student, with the sizes that the card states."""
    card = facts.card
    bins, classes = card.front_end.n_bins, len(VOCABULARIES[card.vocabulary])
    for name, shapes, size in ((INPUT, facts.inputs, bins), (OUTPUT, facts.outputs, classes)):
        shape = shapes.get(name)
        if shape is None or len(shapes) != 1 or len(shape) != 3:
            raise ModelError(
                f"The model file does not have one {name} tensor of three dimensions.",
                hint="Use a file that `chordtool export` wrote.",
            )
        if isinstance(shape[2], int) and shape[2] != size:
            raise ModelError(
                f"The model's {name} have {shape[2]} columns, its card says {size}.",
                hint="Use a file that `chordtool export` wrote.",
            )
    if card.front_end.kind != "cqt":
        raise ModelError(f"The model's front end {card.front_end.kind!r} is not a student's.")
