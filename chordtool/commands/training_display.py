"""How training commands show what they do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chordtool.commands.display import stderr_console
from chordtool.commands.output import show_failures
from chordtool.errors import ExitCode
from chordtool.training.progress import Display, Listener, Several, TensorBoard
from chordtool.training.state import Outcome


def listener(folder: Path, tensorboard: bool) -> Listener:
    """Who follows a run: the terminal, and TensorBoard if asked for."""
    display = Display(stderr_console())
    return Several(display, TensorBoard(folder)) if tensorboard else display


def show_outcome(outcome: Outcome, folder: Path) -> ExitCode:
    """Say how a run ended; the best checkpoint's path goes to standard output.

    Returns:
        the exit status: whether there were recordings that could not be used.
    """
    if outcome.leads:
        _show(outcome, folder)
    return ExitCode.SOME_FAILED if outcome.failures else ExitCode.OK


def _show(outcome: Outcome, folder: Path) -> None:
    console = stderr_console()
    if outcome.best_epoch:
        console.print(f"Ended ({outcome.finished}); {_best(outcome)}.")
        # As bytes: the name of a folder need not be text.
        sys.stdout.buffer.write(os.fsencode(f"{folder / 'best.safetensors'}{os.linesep}"))
    else:
        console.print(f"Ended ({outcome.finished}) before the first epoch was over.")
    if outcome.failures:
        show_failures(console, outcome.failures)


def _best(outcome: Outcome) -> str:
    if outcome.best_accuracy < 0:
        return "no songs validated it, so its last epoch is kept"
    return f"best frame accuracy {outcome.best_accuracy:.2%} in epoch {outcome.best_epoch}"
