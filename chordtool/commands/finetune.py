"""``chordtool finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands.choices import a_path
from chordtool.commands.training_options import configured
from chordtool.training.config import FinetuneConfig


@configured(FinetuneConfig)
def finetune(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", parser=a_path, metavar="RUN", help="Folder of the run."),
    ],
    config: FinetuneConfig,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew; replace a run that is there.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")
    ] = False,
) -> None:
    """Train a student on ground truth (stage 2); the same command goes on with a run."""
    from chordtool.commands.training_display import listener, show_outcome
    from chordtool.training.finetune import finetune as train

    outcome = train(config, output, listener=listener(output, tensorboard), overwrite=overwrite)
    raise typer.Exit(show_outcome(outcome, output))
