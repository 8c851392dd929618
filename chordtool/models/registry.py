"""Models by name, through the entry-point group ``chordtool.models``.

An entry point is a function without arguments that returns a :class:`~chordtool.models.Model`.
A name that ends in ``.onnx``, or that is an existing file, is an exported student instead.
"""

from __future__ import annotations

from pathlib import Path

from chordtool import plugins
from chordtool.errors import ChordtoolError, ModelUnavailableError
from chordtool.models.base import Model

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
    plugin = plugins.find(GROUP, text)
    if plugin is None:
        from difflib import get_close_matches

        known = list(plugins.names(GROUP))
        near = get_close_matches(text, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise ModelUnavailableError(
            f"There is no model named {text!r}.",
            hint=hint + "Known models: " + ", ".join(known) + ".",
        )
    factory = plugins.load(plugin)
    if factory is None:
        raise _unusable(plugin)
    try:
        model: Model = factory()
    except ChordtoolError:
        raise
    except (Exception, SystemExit) as error:
        if plugin.distribution == plugins.OURSELVES:
            raise
        plugins.warn(plugin, error)
        raise _unusable(plugin) from None
    return model


def _unusable(plugin: plugins.Plugin) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"The model {plugin.name!r} of the package {plugin.distribution} cannot be used.",
        hint=f"Upgrade or uninstall {plugin.distribution}.",
    )
