"""essentia's chord detection on HPCP features, as its tutorial chains them."""

import sys

import essentia.standard as es

audio = es.MonoLoader(filename=sys.argv[1], sampleRate=44100)()
window = es.Windowing(type="blackmanharris62")
spectrum = es.Spectrum()
peaks = es.SpectralPeaks(
    orderBy="magnitude", magnitudeThreshold=1e-5, minFrequency=20, maxFrequency=3500, maxPeaks=60
)
hpcp = es.HPCP()
profiles = [
    hpcp(*peaks(spectrum(window(frame))))
    for frame in es.FrameGenerator(audio, frameSize=4096, hopSize=2048, startFromZero=True)
]
chords, strength = es.ChordsDetection(hopSize=2048, windowSize=2)(profiles)
print(len(chords))
