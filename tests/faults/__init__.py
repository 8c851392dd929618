"""Faults: real commands that are killed, starved of disk, locked out, and fed damaged files.

``python -m tests.faults --count 200 --seed 1`` is the long run.
"""
