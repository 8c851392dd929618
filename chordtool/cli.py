"""The ``chordtool`` program: its commands, and the one place where errors are shown.

A command's module is imported when it is called, not before: ``transcribe`` must start in a
fraction of a second, whatever the other commands need.
"""
