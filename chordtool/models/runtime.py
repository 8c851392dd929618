"""ONNX Runtime, and nobody told about it.

Its newer builds give a machine an identifier, which they keep in the user's cache folder, and
report each process to their maker. A program that works offline does neither, so this is the one
place that imports it, after saying no. The variables are read when it starts.
"""

from __future__ import annotations

import os
from typing import Final

# Builds differ in which of the two names they heed.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["ORT_TELEMETRY_DISABLED"] = "1"

import onnxruntime

onnxruntime.disable_telemetry_events()  # Windows has no variable

PROVIDERS: Final = ["CPUExecutionProvider"]
"""What runs every model, whatever else a build of ONNX Runtime has."""

__all__ = ["PROVIDERS", "onnxruntime"]
