"""The table of docs/reproduction.md, run and written by one command: ``python -m recipes.results``.

Steps: :mod:`plan` says which rows there are and with which settings, :mod:`material` makes what
they train and are tested on, :mod:`running` carries a row out, :mod:`scoring` scores it,
:mod:`rows` reads it back, :mod:`report` writes tables, :mod:`packing` takes all of it to another
machine.
"""
