"""A teacher of chordtool looping over recordings in one process.

Prints a JSON line for each recording: wall and processor seconds, from the file to the
segments. Imports and loading the model do not count.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from chordtool import audio
from chordtool.decoding import decode
from chordtool.models import load_model
from chordtool.vocabulary import LARGE

model = load_model(sys.argv[1])
front_end = model.card.front_end
for path in sys.argv[2:]:
    wall, processor = time.perf_counter(), time.process_time()
    recording = audio.load(Path(path), front_end.sample_rate)
    logits = model.logits(model.features(recording.samples))
    edges = front_end.frame_edges(len(logits), recording.seconds)
    decode(logits, edges, LARGE, model.card.decoding)
    taken = time.perf_counter() - wall, time.process_time() - processor
    print(json.dumps({"wall": taken[0], "processor": taken[1]}), flush=True)
