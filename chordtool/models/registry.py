"""Models by name, through the entry-point group ``chordtool.models``.

An entry point is a function without arguments that returns a :class:`~chordtool.models.Model`.
A path, or a name that ends in ``.onnx`` or has a slash in it, is an exported student instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chordtool import plugins
from chordtool.decoding import Decoding
from chordtool.errors import ChordtoolError, ModelUnavailableError
from chordtool.frontend import FrontEnd
from chordtool.models.base import Model
from chordtool.models.card import ModelCard
from chordtool.vocabulary import VOCABULARIES

GROUP = "chordtool.models"
DEFAULT = "default"


def load_model(name: str | Path = DEFAULT) -> Model:
    """Load a model by registered name, or an exported ONNX file by path.

    Raises:
        ModelUnavailableError: no model has that name, or its weights are not here.
        ModelError: the file is broken or hostile.
    """
    text = str(name)
    if isinstance(name, Path) or text.endswith(".onnx") or "/" in text:
        from chordtool.models.onnx import OnnxModel

        return OnnxModel.from_file(Path(name))
    plugin = plugins.require(GROUP, text, "model", ModelUnavailableError)
    factory = plugins.load(plugin)
    if factory is None:
        raise _unusable(plugin)
    if plugin.distribution == plugins.OURSELVES:
        own: Model = factory()
        return own
    return _foreign(plugin, factory)


def _foreign(plugin: plugins.Plugin, factory: Any) -> Model:
    from chordtool.models.foreign import ForeignModel
    from chordtool.models.onnx import OnnxModel

    try:
        model = factory()
        if isinstance(model, OnnxModel):  # it names its failures itself, and is heard in pieces
            return model
        if not isinstance(model, Model) or not isinstance(model.card, ModelCard):
            raise TypeError(f"{plugin.value} gives no model but {type(model).__name__}")
        _check_card(model.card)
        return ForeignModel(model, plugin.name, plugin.distribution)
    except ChordtoolError:
        raise
    except (Exception, SystemExit) as error:
        plugins.warn(plugin, error)
        raise _unusable(plugin) from None


def _check_card(card: ModelCard) -> None:
    """A card that a plug-in made was never read, and so never looked at.

    Raises:
        TypeError, ValueError: what everybody takes from a card is not there.
    """
    for name, kind in (("front_end", FrontEnd), ("decoding", Decoding)):
        value = getattr(card, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} of its card is {type(value).__name__}")
    if card.vocabulary not in VOCABULARIES:
        raise ValueError(f"vocabulary of its card is {card.vocabulary!r}")


def _unusable(plugin: plugins.Plugin) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"The model {plugin.name!r} of the package {plugin.distribution} cannot be used.",
        hint=f"Upgrade or uninstall {plugin.distribution}.",
    )
