"""Corpora: recordings that teachers have labelled, as training reads them."""

from chordtool.corpus.folder import Corpus, CorpusRecording
from chordtool.corpus.recording import Arrays, Recording

__all__ = ["Arrays", "Corpus", "CorpusRecording", "Recording"]
