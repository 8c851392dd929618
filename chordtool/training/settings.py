"""Fields of configurations: their help, their ranges, and checking values against them."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from chordtool.errors import UsageError

RUN_ONLY: Final = "run_only"
_MOST: Final = 1 << 1000
"""Beyond it, a whole number may be more than a float can hold."""


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    panel: str = "Method",
    run_only: bool = False,
) -> Any:
    """A field with its help text and range; ``run_only`` ones may change when a run goes on.

    ``metavar`` is what help shows for the value; a kind of number, or ``NAME`` for one of the
    choices, if it is not given.
    """
    metadata = {
        "help": help, "low": low, "high": high, "choices": choices,
        "metavar": metavar or ("NAME" if choices else None), "panel": panel, RUN_ONLY: run_only,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


def checked(name: str, value: Any, hint: Any, metadata: Any) -> Any:
    """The value in its field's type and range, or a UsageError."""
    option = "--" + name.replace("_", "-")
    optional = isinstance(hint, types.UnionType)
    if optional:
        if value is None:
            return None
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, tuple | list):
            raise UsageError(f"{option} is not a list.")
        named = {"metavar": metadata.get("metavar")}
        return tuple(checked(name, item, inner, named) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < _MOST else math.inf
    if isinstance(value, Path) and hint is str:
        value = str(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise UsageError(f"{option} is {value!r}, which is not {_KINDS[hint]}.")
    if hint is float and not math.isfinite(value):
        raise UsageError(f"{option} is {value!r}.", hint="It must be a finite number.")
    low, high = metadata.get("low"), metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        raise UsageError(f"{option} is {value}.", hint=f"It must lie between {low} and {high}.")
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise UsageError(f"{option} is {value!r}.", hint="Choose " + " or ".join(choices) + ".")
    # What has a name in the help of its own names something; an empty path would be this folder.
    if value == "" and metadata.get("metavar"):
        raise UsageError(f"{option} names nothing.", hint="Leave it out, or give it a value.")
    return value


_KINDS: Final = {int: "a whole number", float: "a number", str: "text", bool: "yes or no"}
