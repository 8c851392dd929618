"""Training: recordings with labels become a student.

:mod:`config` says what a run is, :mod:`data` feeds it, :mod:`loop` runs it, and
:mod:`distill` and :mod:`finetune` are the two stages of arXiv 2602.19778.
"""
