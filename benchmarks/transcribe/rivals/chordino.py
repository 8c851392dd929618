"""Chordino through chord-extractor."""

import sys

from chord_extractor.extractors import Chordino

print(len(Chordino(roll_on=1).extract(sys.argv[1])))
