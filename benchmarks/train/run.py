"""Segments per second of a training step, against the published BTC written plainly.

A step is forward, cross-entropy, backward and AdamW on 64 segments of 108 frames. The models
take turns within one process, so that whatever else the machine does hits all: BTC plainly, both
students in float32, and both in bfloat16; on a GPU also as the training loop runs them, in bfloat16
as CUDA graphs.

    python benchmarks/train/run.py [--threads 2] [--steps 10] [--compile]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from plain import PlainBTC
from torch import nn

from chordtool.models.btc import BTC
from chordtool.models.two_encoders_one_decoder import TwoEncodersOneDecoder
from chordtool.training.devices import Place
from chordtool.training.graphs import graphed

BATCH, FRAMES, BINS, CLASSES = 64, 108, 144, 170


def make_step(
    model: nn.Module,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    graphs: bool = False,
) -> Callable[[], None]:
    """One training step on fixed random data."""
    model.to(device).train()
    place = Place(device, precision)
    forward = graphed(model, place, (BATCH, FRAMES, BINS)) if graphs else model
    if forward is None:
        raise SystemExit("There are no graphs here.")
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(BATCH, FRAMES, BINS, generator=generator).to(device)
    labels = torch.randint(CLASSES, (BATCH * FRAMES,), generator=generator).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-5)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with place.autocast():
            logits = forward(features)
        F.cross_entropy(logits.float().reshape(-1, CLASSES), labels).backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="add torch.compile(BTC)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)

    half = torch.bfloat16
    steps = {
        "plain": make_step(PlainBTC(), device),
        "btc": make_step(BTC(), device),
        "btc, bfloat16": make_step(BTC(), device, half),
        "2e1d": make_step(TwoEncodersOneDecoder(), device),
        "2e1d, bfloat16": make_step(TwoEncodersOneDecoder(), device, half),
    }
    if device.type == "cuda":
        steps["btc, bfloat16, graphs"] = make_step(BTC(), device, half, graphs=True)
        students_graph = make_step(TwoEncodersOneDecoder(), device, half, graphs=True)
        steps["2e1d, bfloat16, graphs"] = students_graph
    if arguments.compile:
        compiled = BTC()
        compiled.compile()
        steps["compiled"] = make_step(compiled, device)
    for step in steps.values():
        step()
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.steps):
        for name, step in steps.items():
            started = time.perf_counter(), time.process_time()
            step()
            wall[name].append(time.perf_counter() - started[0])
            cpu[name].append(time.process_time() - started[1])

    report = {
        name: {
            "segments_per_second": round(BATCH / statistics.median(wall[name]), 2),
            "seconds": round(statistics.median(wall[name]), 3),
            "cpu_seconds": round(statistics.median(cpu[name]), 3),
            "times_faster": round(
                statistics.median(wall["plain"]) / statistics.median(wall[name]), 2
            ),
            "times_less_cpu": round(
                statistics.median(cpu["plain"]) / statistics.median(cpu[name]), 2
            ),
        }
        for name in steps
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
