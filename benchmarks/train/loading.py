"""How fast batches are read, and what memory it takes.

    python benchmarks/train/loading.py CORPUS [--batches 40] [--batch-size 256] [--kd]

Prints one JSON line: segments per second of the loader in one thread, and the resident memory
before and after.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import psutil

from chordtool.frontend import FrontEnd
from chordtool.training.config import TrainConfig
from chordtool.training.data import Segments
from chordtool.training.sources import corpus_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--kd", action="store_true", help="read the teacher's posteriors too")
    arguments = parser.parse_args()
    config = TrainConfig(batch_size=arguments.batch_size, kd_alpha=0.5 if arguments.kd else 0.0)
    segments = Segments([corpus_source(arguments.corpus)], config, FrontEnd())
    process = psutil.Process()
    before = process.memory_info().rss
    size, done, seconds, epoch = arguments.batch_size, 0, 0.0, 0
    while done < arguments.batches * size:
        plan = segments.epoch(epoch)
        epoch += 1
        for first in range(0, len(plan) - size + 1, size):
            begun = time.perf_counter()
            segments.gather(plan, first, first + size)
            seconds += time.perf_counter() - begun
            done += size
    report = {
        "segments_per_second": round(done / seconds),
        "milliseconds_a_batch": round(1e3 * seconds * size / done, 1),
        "recordings": len(segments.tracks),
        "segments": len(segments),
        "resident_mib_before": before >> 20,
        "resident_mib_after": process.memory_info().rss >> 20,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
