"""Settings: a flag wins over a ``CHORDTOOL_*`` variable, which wins over ``config.toml``.

Every option of every command can be set in all three ways under one name. ``--jobs`` of
``transcribe`` is ``CHORDTOOL_TRANSCRIBE_JOBS`` in the environment, and in the file ::

    models-folder = "/data/models"

    [transcribe]
    jobs = 4
    format = ["lab", "json"]

    [models.download]
    offline = true

Flags and variables are the command line parser's own business; this module reads the file,
checks it, and hands it to the parser as defaults.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chordtool.errors import UsageError

if TYPE_CHECKING:
    from typer.core import TyperGroup

CONFIG_ENV: Final = "CHORDTOOL_CONFIG"
"""A settings file to read instead of the user's own; nothing for none."""
DEBUG_ENV: Final = "CHORDTOOL_DEBUG"
"""Set it to anything to see the traceback of an unexpected error."""
PREFIX: Final = "CHORDTOOL"
"""What the names of all variables begin with."""
GENERAL: Final = {
    "models-folder": "CHORDTOOL_MODELS",
    "models-url": "CHORDTOOL_MODELS_URL",
    "plugins": "CHORDTOOL_PLUGINS",
}
"""Keys at the top of the file that belong to no command, and the variable each one stands for."""
TOLERANT: Final = ("config", "doctor")
"""Commands that work with a broken settings file; they show what is wrong with it."""
MAX_CONFIG_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Setting:
    """What is in force for one setting."""

    name: str
    """``"transcribe.jobs"`` for an option, ``"models-folder"`` for a general one."""
    value: Any
    """JSON-ready; ``None`` if it is not set."""
    source: str
    """``"default"``, ``"environment"`` or ``"file"``."""
    variable: str
    """The environment variable that sets it."""
    fault: str = ""
    """Why the option does not take the value that its variable has; empty if it does."""


def config_path() -> Path | None:
    """The settings file, there or not; ``None`` if ``CHORDTOOL_CONFIG`` is set to nothing."""
    chosen = os.environ.get(CONFIG_ENV)
    if chosen is not None:
        return Path(at_home(chosen)) if chosen else None
    import platformdirs

    return platformdirs.user_config_path("chordtool", appauthor=False) / "config.toml"


def at_home(text: str) -> str:
    """A path with the folder of a user for its ``~``; all other text as it is."""
    return os.path.expanduser(text)  # noqa: PTH111 - Path fails on users that are not there


def read(path: Path | None) -> dict[str, Any]:
    """The settings file as it stands; empty if there is none.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if CONFIG_ENV in os.environ:
            raise UsageError(
                f"The settings file {path} is not there.", hint=f"{CONFIG_ENV} names it."
            ) from None
        return {}
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise _broken(path, "is larger than 1 MiB")
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(data.decode("utf-8-sig"))
        return document
    except UnicodeDecodeError:
        raise _broken(path, "is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"is not TOML: {str(error).splitlines()[0]}") from None


def for_call(program: TyperGroup, known: Iterable[str], called: Iterable[str]) -> dict[str, Any]:
    """Bind a call's options to variables and read the user's file; see :func:`defaults`.

    The commands of :data:`TOLERANT` do not see the file: they are there to find out what is
    wrong.
    """
    called = [name for name in called if name in program.commands]
    for name in called:
        bind_variables(program.commands[name], f"{PREFIX}_{name}")
    called = [name for name in called if name not in TOLERANT]
    if not called:
        return {}
    path = config_path()
    document = read(path)
    if not document:
        return {}
    apply_general(document, path)
    return defaults(document, path, program, known, called)


def apply_general(document: Mapping[str, Any], path: Path | None) -> None:
    """Give the variables of :data:`GENERAL` that are not set the values of the file.

    Processes that are started later inherit them.

    Raises:
        UsageError: a value is not text (``plugins`` may be a list of it).
    """
    for key, variable in GENERAL.items():
        if key in document:
            os.environ.setdefault(variable, _general_value(key, document[key], path))


def _general_value(key: str, value: Any, path: Path | None) -> str:
    if key == "plugins" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ",".join(value)
    if not isinstance(value, str):
        raise _broken(path, f"has {key} = {value!r}, which should be text")
    return value


def defaults(
    document: Mapping[str, Any],
    path: Path | None,
    program: TyperGroup,
    known: Iterable[str],
    called: Iterable[str],
) -> dict[str, Any]:
    """What the file says about the called commands, as the parser wants it.

    Args:
        document: the file's content.
        path: the file, for messages.
        program: the program with the called commands in full.
        known: the names of all commands.
        called: the names of the called ones.

    Returns:
        A ``default_map`` for the program's context.

    Raises:
        UsageError: a key is unknown, or a value is not one that the option takes.
    """
    known = list(known)
    for key, value in document.items():
        if key in GENERAL:
            continue
        if key not in known:
            raise _unknown(path, key, [*GENERAL, *known])
        if not isinstance(value, dict):
            raise _broken(path, f"has {key} = {value!r}, which should be a table: [{key}]")
    return {
        name: _checked(program.commands[name], document[name], path, name)
        for name in called
        if name in document
    }


def _checked(command: Any, table: Mapping[str, Any], path: Path | None, name: str) -> Any:
    """A command's table with its keys as parameter names and its values tried on."""
    from typer import Context  # the song's path wants to know where the file is, no more

    context = Context(command, info_name=name, resilient_parsing=True)
    subcommands = getattr(command, "commands", {})
    options = {_key(option): option for option in options_of(command)}
    mapped: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{name}.{key}"
        if key in subcommands and isinstance(value, dict):
            mapped[key] = _checked(subcommands[key], value, path, where)
        elif key not in options:
            raise _unknown(path, where, [f"{name}.{k}" for k in (*options, *subcommands)])
        else:
            mapped[options[key].name] = _option_value(context, options[key], value, path, where)
    return mapped


def _option_value(context: Any, option: Any, value: Any, path: Path | None, where: str) -> Any:
    """The value as the command line would have it.

    Raises:
        UsageError: the option does not take it.
    """
    from typer import BadParameter

    if option.is_flag:
        if not isinstance(value, bool):
            raise _broken(path, f"has {where} = {value!r}, which should be true or false")
        return value
    several = option.multiple or option.nargs != 1
    values = value if several and isinstance(value, list) else [value]
    for one in values:
        if isinstance(one, bool | list | dict):
            kind = "text, a number or a list of them" if several else "text or a number"
            raise _broken(path, f"has {where} = {value!r}, which should be {kind}")
    # No shell has seen the file.
    words = [at_home(one) if isinstance(one, str) else str(one) for one in values]
    try:
        option.process_value(context, words if several else words[0])
    except BadParameter as error:
        raise _broken(path, f"has {where} = {value!r}: {error.message.rstrip('.')}") from None
    return words if several else words[0]


def bind_variables(command: Any, prefix: str) -> None:
    """Let each option of a parsed command be set by a variable that is named like its flag.

    Help and error messages name the variables that are set, and spare the reader the others.
    """
    for option in options_of(command):
        if option.envvar is None:
            option.envvar = f"{prefix}_{_key(option)}".upper().replace("-", "_")
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        option.show_envvar = any(os.environ.get(variable) for variable in variables)
    for name, subcommand in getattr(command, "commands", {}).items():
        bind_variables(subcommand, f"{prefix}_{name}")


def options_of(command: Any) -> list[Any]:
    """The options of a parsed command that can be set: no arguments, nothing like ``--help``."""
    return [
        param
        for param in command.params
        if param.param_type_name == "option" and not param.is_eager and param.expose_value
    ]


def _key(option: Any) -> str:
    """The name of an option in the file: its longest flag without the dashes."""
    longest: str = max(option.opts, key=len)
    return longest.lstrip("-")


def in_force(
    document: Mapping[str, Any], path: Path | None, program: TyperGroup, names: Iterable[str]
) -> list[Setting]:
    """What holds for every general setting and every option of some commands, flags aside.

    Args:
        document: the file's content.
        path: the file, for messages.
        program: the program with those commands in full.
        names: the commands.

    Raises:
        UsageError: the file is not right.
    """
    settings = [_general_setting(document, path, key) for key in GENERAL]
    for name in names:
        command = program.commands[name]
        bind_variables(command, f"{PREFIX}_{name}")
        settings += _options_in_force(command, document.get(name, {}), path, name)
    return settings


def _general_setting(document: Mapping[str, Any], path: Path | None, key: str) -> Setting:
    variable = GENERAL[key]
    if variable in os.environ:
        return Setting(key, os.environ[variable], "environment", variable)
    if key in document:
        return Setting(key, _general_value(key, document[key], path), "file", variable)
    return Setting(key, None, "default", variable)


def _options_in_force(
    command: Any, table: Mapping[str, Any], path: Path | None, name: str
) -> list[Setting]:
    from typer import BadParameter, Context

    context = Context(command, info_name=name)
    mapped = _checked(command, table, path, name)
    settings = []
    for option in options_of(command):
        key = _key(option)
        given, fault = option.value_from_envvar(context), ""
        if given is not None:
            value, source = given, "environment"
            try:
                value = option.process_value(context, given)
            except BadParameter as error:
                fault = error.message.rstrip(".")
        elif option.name in mapped:
            value, source = table[key], "file"
        else:
            value, source = option.get_default(context), "default"
        variable = option.envvar if isinstance(option.envvar, str) else option.envvar[0]
        settings.append(Setting(f"{name}.{key}", _plain(value), source, variable, fault))
    for sub, subcommand in getattr(command, "commands", {}).items():
        settings += _options_in_force(subcommand, table.get(sub, {}), path, f"{name}.{sub}")
    return settings


def strange_variables(known: Iterable[str]) -> list[str]:
    """Variables that look like ours and are not: most likely misspelt.

    Args:
        known: the variables of all settings.
    """
    ours = {*known, CONFIG_ENV, DEBUG_ENV}
    return sorted(v for v in os.environ if v.startswith(f"{PREFIX}_") and v not in ours)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value) if isinstance(value, Path) else None


def as_text(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_file(path: Path | None) -> str:
    """Where the settings file is, or why there is none."""
    if path is None:
        return f"none: {CONFIG_ENV} is set to nothing"
    return str(path) if path.is_file() else f"{path} (not there: all as it comes)"


def _unknown(path: Path | None, key: str, known: list[str]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Known: " + ", ".join(known) + "."
    return UsageError(f"The settings file {path} has the unknown key {key}.", hint=hint)


def _broken(path: Path | None, why: str) -> UsageError:
    return UsageError(f"The settings file {path} {why}.", hint="Mend it or move it away.")
