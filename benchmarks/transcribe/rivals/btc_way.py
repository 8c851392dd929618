"""What the BTC program does: librosa in 10 s chunks, torch, one block of 108 frames at a time.

The network has random weights, which take as long as any others.
"""

import sys

import librosa
import numpy as np
import torch

from chordtool.models.btc import BTC

samples, rate = librosa.load(sys.argv[1], sr=22050, mono=True)
chunks = []
for start in range(0, len(samples), 220_500):
    cqt = librosa.cqt(
        samples[start : start + 220_500], sr=rate, n_bins=144, bins_per_octave=24, hop_length=2048
    )
    chunks.append(np.log(np.abs(cqt) + 1e-6))
features = np.concatenate(chunks, axis=1).T
features = (features - features.mean()) / features.std()
features = np.pad(features, ((0, -len(features) % 108), (0, 0))).astype(np.float32)
model = BTC().eval()
labels = []
with torch.no_grad():
    for block in torch.from_numpy(features).split(108):
        labels.append(model(block[None]).argmax(-1))
print(torch.cat(labels, 1).shape)
