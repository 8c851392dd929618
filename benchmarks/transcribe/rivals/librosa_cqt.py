"""Import librosa, load the file, take its constant-Q transform: the front end alone."""

import sys

import librosa
import numpy as np

samples, rate = librosa.load(sys.argv[1], sr=22050, mono=True)
cqt = librosa.cqt(samples, sr=rate, n_bins=144, bins_per_octave=24, hop_length=2048)
features = np.log(np.abs(cqt) + 1e-6)
print(features.shape)
