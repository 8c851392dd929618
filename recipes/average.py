"""Average the weights of runs that began as the same student, each with a share.

    python -m recipes.average RUN RUN --shares 3 1 -o AVERAGE

Students that were trained on from the same weights lie close enough for their average to be one,
and it keeps some of what each of them is good at (Wortsman et al., "Model soups", ICML 2022). A
share below 0 leads further away from a student: 1.6 of what came out of a training and -0.6 of what
went in is where more of the same would lead (Ilharco et al., "Editing Models with Task Arithmetic",
ICLR 2023).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from chordtool.errors import ModelError, UsageError
from chordtool.training import checkpoint


def average(runs: Sequence[Path], shares: Sequence[float], output: Path) -> None:
    """Write the averaged checkpoints as a folder with the card and the split of the first run.

    Args:
        runs: folders of runs, whose best checkpoints are taken, or checkpoints; a folder first.
        shares: one for each, not 0, together above 0; only their proportions matter.
        output: the folder; made if it is not there.

    Raises:
        UsageError: there is not one share for each run, or one that is none.
        ModelError: a checkpoint is broken, or the students differ in what they are.
    """
    whole = sum(shares)
    if len(runs) != len(shares) or 0 in shares or not 0 < whole < float("inf"):
        raise UsageError(
            "Each run needs a share, and all together are above 0.",
            hint="Give as many --shares as runs.",
        )
    card, first = checkpoint.load_checkpoint(runs[0])
    total = {name: tensor * (shares[0] / whole) for name, tensor in first.items()}
    for run, share in zip(runs[1:], shares[1:], strict=True):
        its_card, weights = checkpoint.load_checkpoint(run)
        if _shapes(weights) != _shapes(first) or its_card.front_end != card.front_end:
            raise ModelError(
                f"{run} and {runs[0]} are not of one kind.", hint="Average runs of one student."
            )
        for name, tensor in weights.items():
            total[name] += tensor * (share / whole)
    output.mkdir(parents=True, exist_ok=True)
    for name in ("split.json", "config.json"):
        shutil.copyfile(runs[0] / name, output / name)
    # What the first run scored is not what the average does.
    checkpoint.save_checkpoint(output / checkpoint.BEST, total, replace(card, metrics={}))


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def main() -> None:
    """Average runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    average(arguments.runs, arguments.shares, arguments.output)


if __name__ == "__main__":
    main()
