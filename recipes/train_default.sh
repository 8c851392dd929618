#!/bin/sh
# Makes the packaged model again, end to end: data, labels, training, choice of the decoder, export.
# Every step is skipped if it is done and goes on where it was interrupted.
#
#     sh recipes/train_default.sh [DATA] [RUN]
#
# It starts from the packaged model and betters it. START names another student; the packaged one was
# made from `git show 713d886:chordtool/models/data/default.onnx`, of which docs/results.md says how it
# came about. CHORDTOOL_MODELS names the folder with the teachers' weights, if they are not downloaded.
set -eu
data=${1:-../data} run=${2:-../data/run-default}

python -m recipes.render_midi --out "$data/rendered"
python -m recipes.render_midi --seed 2 --held-pedal 0.15 --stuck-pedal 0.45 --limit 329 \
    --out "$data/rendered2"
python -m recipes.render_midi --seed 3 --drawn-timbres 1 --held-pedal 0.1 --stuck-pedal 0.2 \
    --limit 294 --out "$data/rendered3"
python -m recipes.generate_songs --songs 200 --out "$data/generated"
python -m recipes.generate_takes --out "$data/generated"
chordtool label-corpus ../shared/audio/unlabelled -o "$data/corpus-unlabelled" \
    --teacher lv --teacher crema --student-front-end default+6

chordtool finetune --student "${START:-default}" -o "$run" \
    --labels "$data/rendered" --labels "$data/rendered2" --labels "$data/rendered3" \
    --labels "$data/generated" --weight 1 --weight 1 --weight 1 --weight 2.5 \
    --replay "$data/corpus-unlabelled" --replay-share 0.22 \
    --cache "$data/cache" --song-pattern '^(.+)-s[0-9]+$' \
    --validation-share 0.04 --test-share 0 \
    --kd-alpha 0 --balance 0.3 --dropout 0.1 --ema-decay 0.9995 \
    --lr 5e-4 --schedule cosine --warmup-epochs 1 --batch-size 32 \
    --epochs 20 --epoch-segments 12000 --patience 0 \
    --pitch-low -5 --pitch-high 6 --jitter-frames 54 --gain-db 6 --eq-db 6 --noise-db 15 \
    --detune-cents 20 --mask-bins 6 --mask-frames 4 --masks 1 \
    --precision bfloat16 --threads 1 --licence MIT

python -m recipes.ship "$run" --labels "$data/rendered" --labels "$data/rendered2" \
    --labels "$data/rendered3" --labels "$data/generated"
