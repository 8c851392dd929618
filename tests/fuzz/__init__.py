"""Hostile input: mutated files for everything that reads files of unknown origin.

``python -m tests.fuzz --minutes 10 audio`` runs long; ``pytest tests/fuzz`` runs each target for
a few seconds. Whatever is found becomes a file below ``regressions/`` that is tried for ever.
"""
