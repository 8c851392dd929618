"""BTC as its own script labels a folder: librosa over chunks of 10 s, then torch, file by file.

    python benchmarks/label_corpus/rivals/btc_way.py CHECKPOINT FILES...

Written from the description of that script. The network is the plain one of ``benchmarks/train``.
CHECKPOINT holds its weights as safetensors. Prints a JSON line for each recording: wall and
processor seconds from the file to the labels. Imports and loading the network do not count.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import librosa
import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))
from plain import PlainBTC

RATE, CHUNK, FRAMES = 22_050, 220_500, 108


def features(path: str) -> np.ndarray:
    samples, _ = librosa.load(path, sr=RATE, mono=True)
    parts, position = [], 0
    while len(samples) > position + CHUNK:
        parts.append(constant_q(samples[position : position + CHUNK]))
        position += CHUNK
    parts.append(constant_q(samples[position:]))
    return np.log(np.abs(np.concatenate(parts, axis=1)) + 1e-6)


def constant_q(samples: np.ndarray) -> np.ndarray:
    return librosa.cqt(samples, sr=RATE, n_bins=144, bins_per_octave=24, hop_length=2048)


def labels(network: PlainBTC, path: str) -> np.ndarray:
    frames = features(path).T
    missing = -len(frames) % FRAMES
    frames = np.pad(frames, ((0, missing), (0, 0)))
    found = []
    with torch.no_grad():
        for start in range(0, len(frames), FRAMES):
            block = torch.tensor(frames[None, start : start + FRAMES], dtype=torch.float32)
            found.append(network(block).argmax(dim=-1)[0].numpy())
    return np.concatenate(found)


if __name__ == "__main__":
    network = PlainBTC().eval()
    network.load_state_dict(load_file(sys.argv[1]), strict=False)
    labels(network, sys.argv[2])  # librosa compiles on first use
    for path in sys.argv[2:]:
        wall, processor = time.perf_counter(), time.process_time()
        labels(network, path)
        taken = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps({"wall": taken[0], "processor": taken[1]}), flush=True)
