"""The configuration of a call: what was given, a ``config.json`` of a run, and the defaults."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

from chordtool.errors import UsageError
from chordtool.training.config import CONFIG_SCHEMA, FROM_SCRATCH, FinetuneConfig, TrainConfig

CONFIG: Final = "config.json"
"""The file of a run with its configuration."""
MAX_CONFIG_BYTES: Final = 1 << 20

Config = TypeVar("Config", bound=TrainConfig)


def resolve(kind: type[Config], given: dict[str, Any], file: Path | None = None) -> Config:
    """The configuration of a call: what was given, else what the file says, else the defaults.

    Args:
        kind: :class:`DistillConfig` or :class:`FinetuneConfig`.
        given: settings by field name; those that are ``None`` or empty were not given.
        file: a ``config.json`` of a run.

    Raises:
        UsageError: a setting is unknown or out of range, or the file is not a configuration.
    """
    chosen = {k: v for k, v in given.items() if v is not None and v != () and v != []}
    base: dict[str, Any] = read_settings(kind, file) if file is not None else {}
    if kind is FinetuneConfig and {**base, **chosen}.get("from_scratch"):
        # Of a run that had a student to start from, the file's student and rates are no baseline's.
        was = base.get("from_scratch", False)
        base = {**FROM_SCRATCH, **base} if was else {**base, **FROM_SCRATCH}
    return kind(**{**base, **chosen})


def read_settings(kind: type[Config], file: Path) -> dict[str, Any]:
    """The settings in a configuration file.

    Raises:
        UsageError: the file is missing, too large, not JSON, newer, or of another command.
    """
    hint = "Use the config.json of a run."
    try:
        if file.is_dir():
            file = file / CONFIG
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError("too large")
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint=hint) from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is not a configuration.", hint=hint) from None
    if not isinstance(document, dict):
        raise UsageError(f"{file} is not a configuration.", hint=hint)
    schema = document.pop("schema", CONFIG_SCHEMA)
    command = document.pop("command", None)
    if not isinstance(schema, int) or schema > CONFIG_SCHEMA:
        raise UsageError(f"{file} is newer than this program.", hint="Upgrade chordtool.")
    unknown = sorted(set(document) - {f.name for f in fields(kind)})
    if unknown:
        made_by = f"chordtool {command}" if isinstance(command, str) else "another command"
        raise UsageError(
            f"{file} has settings that this command does not know: {', '.join(unknown[:3])}.",
            hint=f"It was written by {made_by}.",
        )
    return {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
