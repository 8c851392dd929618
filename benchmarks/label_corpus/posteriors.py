"""What the compact posteriors of a corpus lose, against keeping the k likeliest classes.

    CHORDTOOL_MODELS=MODELS python benchmarks/label_corpus/posteriors.py --teacher lv FILES...

For each way of keeping a frame's posteriors: bytes a frame, and the Kullback-Leibler divergence
in nats from the exact ones to what is read back, at temperature 1 and 3; mean over all frames,
and the 99th percentile. What is left of the probability is shared evenly by the other classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chordtool.audio.signals import open_signals
from chordtool.constantq import log_cqt
from chordtool.corpus.compact import STEP_NATS, decode, encode
from chordtool.corpus.ensemble import Ensemble
from chordtool.corpus.recipe import make_recipe

Array = NDArray[np.float64]


def softened(logs: Array, temperature: float) -> Array:
    weights = np.exp(logs / temperature - (logs / temperature).max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def top(logs: Array, k: int) -> Array:
    """Log-probabilities with all but the k likeliest classes made equal, in half precision."""
    posteriors = np.exp(logs)
    order = np.argsort(-posteriors, axis=1)[:, k:]
    rest = np.take_along_axis(posteriors, order, axis=1).mean(axis=1, keepdims=True)
    kept = posteriors.astype(np.float16).astype(np.float64)
    np.put_along_axis(kept, order, np.broadcast_to(rest, order.shape), axis=1)
    return np.log(np.maximum(kept, 1e-30))


def divergence(logs: Array, kept: Array, temperature: float) -> Array:
    exact = softened(logs, temperature)
    return (exact * (np.log(exact + 1e-300) - np.log(kept + 1e-300))).sum(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--teacher", action="append", required=True)
    arguments = parser.parse_args()
    recipe = make_recipe(arguments.teacher)
    ensemble = Ensemble(recipe)
    front_end = recipe.front_end
    found = []
    for path in arguments.files:
        with open_signals(path, ensemble.sample_rates | {front_end.sample_rate}) as signals:
            frames = len(log_cqt(signals.read(front_end.sample_rate), front_end))
            edges = front_end.frame_edges(frames, signals.seconds)
            found.append(ensemble.listen(signals, edges).log_probabilities)
    exact = np.concatenate(found)
    logs = exact.astype(np.float64)
    print(f"{' + '.join(t.name for t in recipe.teachers)}: {len(logs)} frames")
    print(f"{'kept':28} {'bytes':>6} {'T=1 mean':>10} {'p99':>9} {'T=3 mean':>10} {'p99':>9}")
    for k in (8, 16, 32, 64):
        row = [divergence(logs, softened(top(logs, k), t), t) for t in (1.0, 3.0)]
        show(f"top {k}, half precision", 3 * k + 2, row)
    for step in (0.05, STEP_NATS, 0.2):
        codes = encode(exact, step)
        row = [divergence(logs, decode(codes, step, t).astype(np.float64), t) for t in (1.0, 3.0)]
        show(f"all, one byte, step {step}", 170, row)
    decided = (decode(encode(exact)).argmax(axis=1) == exact.argmax(axis=1)).mean()
    print(f"frames whose likeliest class is unchanged: {decided:.2%}")


def show(name: str, size: int, row: list[Array]) -> None:
    cells = [f"{r.mean():10.2e} {np.percentile(r, 99):9.1e}" for r in row]
    print(f"{name:28} {size:6} {' '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
