"""chordtool: automatic chord recognition from audio."""
