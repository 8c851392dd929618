"""Posteriors of several models brought onto one grid of frames.

Models differ in hop and in where their frames lie. To average them, or to store one model's
posteriors at another's frames, each new frame takes the time-weighted mean of the old frames that
it overlaps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resample_posteriors(
    probabilities: NDArray[np.floating],
    from_edges: NDArray[np.float64],
    to_edges: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Mean posteriors of new frames, each old frame weighted by the time that it shares.

    The old posteriors are a step function of time, held on beyond its ends; the result is its
    exact mean over each new frame. Rows that sum to one stay so.

    Args:
        probabilities: [frames, classes], frames >= 1.
        from_edges: float64 [frames + 1], seconds, never falling
            (:meth:`chordtool.frontend.FrontEnd.frame_edges`).
        to_edges: float64 [m + 1], seconds, never falling. A new frame of no length takes the
            old frame that it lies in.

    Returns:
        float32 [m, classes].

    Raises:
        ValueError: the shapes do not fit, there are no old frames, or edges fall.
    """
    n_frames = len(probabilities)
    if probabilities.ndim != 2 or n_frames == 0 or from_edges.shape != (n_frames + 1,):
        raise ValueError("posteriors and their edges do not fit")
    if to_edges.ndim != 1 or len(to_edges) == 0:
        raise ValueError("there are no new edges")
    if not (np.all(np.diff(from_edges) >= 0) and np.all(np.diff(to_edges) >= 0)):
        raise ValueError("edges fall")
    # Every old and new edge cuts time into atoms, each inside one old and one new frame; there
    # are at most frames + m of them. Sums over atoms need no differences of long running sums,
    # whose rounding would grow with the length of the recording.
    start, stop = to_edges[0], to_edges[-1]
    inner = from_edges[1:-1]
    cuts = np.concatenate([to_edges, inner[(inner > start) & (inner < stop)]])
    cuts.sort(kind="stable")
    lows, spans = cuts[:-1], np.diff(cuts)
    old = np.clip(np.searchsorted(from_edges, lows, side="right") - 1, 0, n_frames - 1)
    first = np.searchsorted(lows, to_edges[:-1], side="left")
    lengths = np.diff(to_edges)
    result = np.empty((len(lengths), probabilities.shape[1]), np.float32)
    solid = lengths > 0
    point = np.searchsorted(from_edges, to_edges[:-1][~solid], side="right") - 1
    result[~solid] = probabilities[np.clip(point, 0, n_frames - 1)]
    if solid.any():
        # Atoms of frames without length weigh nothing, so solid frames alone tile the atoms.
        weighted = probabilities[old] * spans[:, None]
        sums = np.add.reduceat(weighted, first[solid], axis=0)
        result[solid] = sums / lengths[solid, None]
    return result
