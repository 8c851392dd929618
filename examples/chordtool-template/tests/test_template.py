from chordtool_template import TemplateModel

from chordtool.testing import check_model, chord_of_sines
from chordtool.transcriber import Transcriber


def test_it_keeps_the_contract() -> None:
    check_model(TemplateModel())


def test_it_hears_c_major() -> None:
    model = TemplateModel()
    samples = chord_of_sines(4.0, model.card.front_end.sample_rate)
    found = Transcriber(model).transcribe_samples(samples)
    assert [segment.label for segment in found.segments] == ["C"]
