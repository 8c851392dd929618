"""One thread for linear algebra, set before numpy is imported.

The products on the song's path are small. BLAS threads that wait for each other on a busy
machine made them five to ten times slower; several songs at once use the cores better.
"""

from __future__ import annotations

import os

_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def one_blas_thread() -> None:
    """Ask BLAS for one thread unless the user has asked for another number."""
    for variable in _VARIABLES:
        os.environ.setdefault(variable, "1")
