#!/bin/sh
# Installs the synthesizer and the sound fonts that the labelled audio is rendered with (Debian).
# Fonts are listed with their licences in recipes/README.md. musescore-general-soundfont is left
# out on purpose: it renders the development test. pyworld sings; it imports pkg_resources, which newer
# setuptools lack.
set -eu
apt-get update -qq
apt-get install -y --no-install-recommends \
    fluidsynth \
    fluid-soundfont-gm \
    timgm6mb-soundfont \
    opl3-soundfont \
    csound-soundfont
python -m pip install pyworld 'setuptools<81'
