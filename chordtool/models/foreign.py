"""Models of plug-ins: whatever they do, it is an error that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chordtool.errors import ChordtoolError, ModelError
from chordtool.models.base import Model
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import VOCABULARIES


class ForeignModel:
    """The model of a plug-in, its answers looked at and its failures named.

    Args:
        model: what the plug-in made.
        name: under which it is registered.
        package: that registers it.
    """

    def __init__(self, model: Model, name: str, package: str) -> None:
        self.card = model.card
        self._model, self._name, self._package = model, name, package

    def features(self, samples: Samples) -> Features:
        """See :class:`~chordtool.models.base.Model`.

        Raises:
            ModelError: the plug-in fails, or what it answers is none.
        """
        features: Any = self._ask(self._model.features, samples)
        if not isinstance(features, np.ndarray) or features.ndim < 2:
            raise self._failed("features() gives no [frames, ...]")
        return features

    def logits(self, features: Features) -> Logits:
        """See :class:`~chordtool.models.base.Model`.

        Raises:
            ModelError: the plug-in fails, or what it answers is none.
        """
        logits: Any = self._ask(self._model.logits, features)
        wanted = (len(features), len(VOCABULARIES[self.card.vocabulary]))
        if not isinstance(logits, np.ndarray) or logits.shape != wanted:
            shape = list(logits.shape) if isinstance(logits, np.ndarray) else type(logits).__name__
            raise self._failed(f"logits() gives {shape} instead of {list(wanted)}")
        if not np.isfinite(logits).all():
            raise self._failed("logits() gives NaN or infinite numbers")
        return logits

    def _ask(self, method: Callable[[NDArray[np.float32]], Any], given: NDArray[np.float32]) -> Any:
        try:
            return method(given)
        except (ChordtoolError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # whatever a plug-in does
            first = next(iter(str(error).splitlines()), "")
            raise self._failed(f"{type(error).__name__}: {first}".rstrip(": ")) from error

    def _failed(self, why: str) -> ModelError:
        return ModelError(
            f"The model {self._name!r} of the package {self._package} failed: {why}.",
            hint=f"Report it to whoever made {self._package}; chordtool.testing.check_model "
            "says what is asked of a model.",
        )
