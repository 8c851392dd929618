"""Options made from the fields of a configuration, so that each is described in one place."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from chordtool.commands import completion
from chordtool.commands.choices import a_path, at_default
from chordtool.training.config import TrainConfig
from chordtool.training.config_file import resolve


def configured(kind: type[TrainConfig]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for every field of a configuration, and ``--config``.

    The command's parameter ``config`` is replaced by the options; it is called with the resolved
    configuration.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [p for n, p in inspect.signature(command, eval_str=True).parameters.items()
               if n != "config"]  # fmt: skip
        hints = typing.get_type_hints(kind)
        options = [_option(f, hints[f.name]) for f in fields(kind)]
        context = inspect.Parameter(
            "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
        )
        file = inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None,
            annotation=Annotated[
                Path | None,
                typer.Option("--config", parser=a_path, metavar="FILE|RUN",
                             help="Settings of an earlier run; options given here win."),
            ],
        )  # fmt: skip

        def run(context: typer.Context, **values: Any) -> Any:
            given = {f.name: values.pop(f.name) for f in fields(kind)}
            # What is at its default gives way to a file, and to the baseline of --from-scratch.
            given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()
                     if not at_default(context, k)}  # fmt: skip
            return command(config=resolve(kind, given, values.pop("config")), **values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        ordered = [context, *parameters, file, *options]
        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in ordered}
        return run

    return decorate


def _option(field: Any, hint: Any) -> inspect.Parameter:
    if isinstance(hint, types.UnionType):
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    annotation: Any
    many = typing.get_origin(hint) is tuple
    annotation = list[typing.get_args(hint)[0]] if many else hint  # type: ignore[misc]
    assert field.default is not MISSING
    text = field.metadata["help"]
    choices = field.metadata["choices"]
    if choices:
        text += " One of " + ", ".join(choices) + "."
    option = "--" + field.name.replace("_", "-")
    names = (option,) if hint is not bool else (f"{option}/--no-{option[2:]}",)
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY,
        default=None if field.default == () else field.default,
        annotation=Annotated[
            annotation | None,
            typer.Option(*names, help=text, rich_help_panel=field.metadata["panel"],
                         metavar=field.metadata["metavar"], show_default=hint is not bool,
                         autocompletion=completion.one_of(choices)),
        ],
    )  # fmt: skip
