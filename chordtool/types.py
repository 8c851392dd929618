"""The arrays that travel along the path, named once.

| name     | dtype   | shape              | meaning                                    |
|----------|---------|--------------------|--------------------------------------------|
| Samples  | float32 | [n]                | mono audio, nominally within -1..1         |
| Features | float32 | [frames, bins]     | log constant-Q, not yet normalised         |
| Logits   | float32 | [frames, classes]  | unnormalised log-probabilities of chords   |
| Labels   | int16   | [frames]           | class indices                              |
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
Features: TypeAlias = NDArray[np.float32]
Logits: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int16]
