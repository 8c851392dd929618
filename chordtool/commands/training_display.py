"""How training commands show what they do."""

from __future__ import annotations

from pathlib import Path

from chordtool.commands.display import stderr_console
from chordtool.training.progress import Display, Listener, Several, TensorBoard
from chordtool.training.state import Outcome


def listener(folder: Path, tensorboard: bool) -> Listener:
    """Who follows a run: the terminal, and TensorBoard if asked for."""
    display = Display(stderr_console())
    return Several(display, TensorBoard(folder)) if tensorboard else display


def show_outcome(outcome: Outcome, folder: Path) -> None:
    """Say how a run ended; the best checkpoint's path goes to standard output."""
    console = stderr_console()
    if outcome.best_epoch:
        console.print(
            f"Ended ({outcome.finished}); best frame accuracy {outcome.best_accuracy:.2%} "
            f"in epoch {outcome.best_epoch}."
        )
        print(folder / "best.safetensors")
    else:
        console.print(f"Ended ({outcome.finished}) before the first epoch was over.")
