"""Writes ``docs/reference/cli.md`` from the program itself: ``python docs/generate_reference.py``.

A test fails when the page and the program differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from chordtool.errors import ExitCode
from chordtool.parser import COMMANDS, whole_program
from chordtool.settings import as_text

PAGE: Final = Path(__file__).parent / "reference" / "cli.md"

HEAD: Final = """\
<!-- Written by `python docs/generate_reference.py`; change the help texts instead. -->

# Commands

Results go to standard output, everything else to standard error. Each option can also be set in
the environment or in a file: see [configuration](configuration.md). `chordtool COMMAND --help`
shows in the terminal what is written here.
"""
MEANING: Final = {
    ExitCode.OK: "All done.",
    ExitCode.SOME_FAILED: "Some inputs failed; the others are done. A line or a table on standard "
    "error says which, and why.",
    ExitCode.USAGE: "The command line makes no sense, or a setting is wrong.",
    ExitCode.MODEL_UNAVAILABLE: "A model is unknown, or its weights are not on this machine.",
    ExitCode.INTERRUPTED: "Interrupted.",
}

_KINDS: Final = {
    "str": "TEXT", "text": "TEXT", "string": "TEXT", "int": "N", "integer": "N", "float": "NUMBER",
}  # fmt: skip


def reference() -> str:
    """The page as Markdown."""
    program = whole_program()
    lines = [HEAD, *_exit_codes()]
    lines += ["## chordtool", "", *_parameters(program)]
    panel = ""
    for name, place in COMMANDS.items():
        if place.panel != panel:
            panel = place.panel
        lines += _command(f"chordtool {name}", program.commands[name], place.help)
    return "\n".join(lines).rstrip() + "\n"


def _exit_codes() -> list[str]:
    rows = [f"| {code.value} | {MEANING[code]} |" for code in ExitCode]
    return ["| exit status | meaning |", "|---|---|", *rows, ""]


def _command(path: str, command: Any, short: str) -> list[str]:
    """A command, or a group and the commands in it."""
    lines = [f"## {path}", "", _help(command.help or short), ""]
    subcommands = getattr(command, "commands", {})
    if not subcommands or command.invoke_without_command:
        lines += _usage(path, command)
    for name, subcommand in subcommands.items():
        lines += [f"### {path} {name}", "", _help(subcommand.help or ""), ""]
        lines += _usage(f"{path} {name}", subcommand)
    return lines


def _help(text: str) -> str:
    """Help as Markdown: paragraphs joined, an example that ends a sentence as code."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(re.sub(r": (chordtool .+)$", r": `\1`", part) for part in paragraphs)


def _usage(path: str, command: Any) -> list[str]:
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    words = [path]
    if any(p.param_type_name == "option" for p in shown):
        words.append("[OPTIONS]")
    for argument in (p for p in shown if p.param_type_name == "argument"):
        words.append(_metavar(argument) if argument.required else f"[{_metavar(argument)}]")
    usage = " ".join(words).replace("[[", "[").replace("]]", "]")
    return ["```text", usage, "```", "", *_parameters(command)]


def _parameters(command: Any) -> list[str]:
    """Arguments, then options by panel."""
    arguments: list[Any] = []
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            arguments.append(parameter)
        else:
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(
                parameter
            )
    lines: list[str] = []
    if any(argument.help for argument in arguments):
        lines += [_item(_metavar(a).strip("[]"), a) for a in arguments if a.help]
        lines.append("")
    for panel, options in panels.items():
        lines += [f"**{panel}**", ""] if panel else []
        lines += [_item(_names(option), option) for option in options]
        lines.append("")
    return lines


def _item(names: str, parameter: Any) -> str:
    text = (parameter.help or "").strip()
    default = ""
    if found := re.search(r"\s*\\\[default: (.+)\]$", text):
        text, default = text[: found.start()], found[1]
    elif parameter.show_default is not False and not _is_nothing(parameter.default):
        default = as_text(getattr(parameter.default, "value", parameter.default))
    parts = [f"- `{names}`:", text]
    if parameter.param_type_name == "option" and parameter.required:
        parts.append("Required.")
    if default:
        parts.append(f"Default: {default}." if " " in default else f"Default: `{default}`.")
    return " ".join(part for part in parts if part)


def _names(option: Any) -> str:
    names = ", ".join(option.opts)
    if option.secondary_opts:
        return f"{names} / {', '.join(option.secondary_opts)}"
    return names if option.is_flag else f"{names} {_metavar(option)}"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    kind = str(parameter.type.name).partition(" ")[0]
    return _KINDS.get(kind, kind.upper())


def _is_nothing(default: object) -> bool:
    return default is None or default is False or default in ("", (), [])


def differences(text: str, page: str) -> Iterator[str]:
    """Lines that differ, for people."""
    from difflib import unified_diff

    return unified_diff(page.splitlines(), text.splitlines(), "page", "program", lineterm="", n=0)


def main() -> None:
    """Write the page; with ``--check`` only say what would change."""
    text = reference()
    if sys.argv[1:] == ["--check"]:
        found = list(differences(text, PAGE.read_text("utf-8") if PAGE.exists() else ""))
        sys.exit("\n".join(found) if found else 0)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
