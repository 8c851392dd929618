#!/bin/sh
# Makes the packaged model again, end to end: data, labels, training, choice of the decoder, export.
# Every step is skipped if it is done and goes on where it was interrupted.
#
#     sh recipes/train_default.sh [DATA] [RUN]
#
# CHORDTOOL_MODELS names the folder with the teacher's weights, if they are not downloaded.
set -eu
data=${1:-../data} run=${2:-../data/run-default}

python -m recipes.render_midi --out "$data/rendered"
python -m recipes.render_midi --seed 2 --held-pedal 0.15 --stuck-pedal 0.45 --limit 329 \
    --out "$data/rendered2"
python -m recipes.render_midi --seed 3 --drawn-timbres 1 --held-pedal 0.1 --stuck-pedal 0.2 \
    --limit 120 --out "$data/rendered3"
python -m recipes.render_midi --seed 4 --stuck-pedal 1 --excerpt-seconds 0 --limit 45 \
    --out "$data/rendered4"
python -m recipes.render_midi --seed 5 --held-pedal 1 --out "$data/rendered5"
python -m recipes.render_midi --seed 6 --mixed-pedal 1 --excerpt-seconds 0 --limit 55 \
    --out "$data/rendered6"
python -m recipes.generate_songs --songs 200 --out "$data/generated"
python -m recipes.generate_takes --out "$data/generated"
# Two shards of the unlabelled music are left for testing: 4/8 and 8/8.
chordtool label-corpus ../shared/audio/unlabelled -o "$data/corpus-lv" --teacher lv --shard 1/2 \
    --student-front-end default+6
chordtool label-corpus ../shared/audio/unlabelled -o "$data/corpus-lv2" --teacher lv --shard 2/4 \
    --student-front-end default+6

train() {
    chordtool finetune --cache "$data/cache" --song-pattern '^(.+)-s[0-9]+$' \
        --labels "$data/rendered" --labels "$data/rendered2" --labels "$data/rendered3" \
        --labels "$data/generated" --replay "$data/corpus-lv" \
        --replay-share 0.27 --balance 0.2 --ema-decay 0.999 --schedule cosine --batch-size 32 \
        --patience 0 \
        --pitch-low -5 --pitch-high 6 --jitter-frames 54 --gain-db 6 --eq-db 6 --noise-db 15 \
        --detune-cents 20 --mask-bins 6 --mask-frames 4 --masks 1 \
        --precision bfloat16 --threads 1 --licence MIT "$@"
}

train --from-scratch --student 2e1d -o "$run" --validation-share 0.04 --test-share 0 \
    --weight 1 --weight 1 --weight 1 --weight 1.5 --dropout 0.1 \
    --lr 1e-3 --warmup-epochs 1 --epochs 20 --epoch-segments 12800

# Further, with more of the songs whose pedals are held or never lifted, whole ones among them.
train --student "$run" -o "$run-further" --split "$run/split.json" --kd-alpha 0 \
    --labels "$data/rendered4" --labels "$data/rendered5" --labels "$data/rendered6" \
    --weight 0.7 --weight 1 --weight 1 --weight 1.5 --weight 2 --weight 1.2 --weight 3 \
    --replay "$data/corpus-lv2" --replay-share 0.25 --dropout 0.02 --sustain 0.12 \
    --lr 7e-4 --warmup-epochs 0.5 --epochs 20 --epoch-segments 12000

# Further still, sounds changed less: nothing masked, less noise, rare qualities favoured half as
# much.
further() {
    train --split "$run/split.json" --kd-alpha 0 \
        --labels "$data/rendered4" --labels "$data/rendered5" --labels "$data/rendered6" \
        --weight 0.7 --weight 1 --weight 1 --weight 1.5 --weight 2.5 --weight 1.2 --weight 4 \
        --replay "$data/corpus-lv2" --dropout 0.02 --sustain 0.12 --warmup-epochs 0.5 \
        --balance 0.1 --noise-db 20 --mask-bins 0 --mask-frames 0 "$@"
}
further --student "$run-further" -o "$run-third" --lr 7e-4 --epochs 16 --epoch-segments 15000

# And once more with other draws. For the packaged model this began from the best checkpoint that
# the run before had after 13 of its 16 epochs.
further --student "$run-third" -o "$run-fourth" --seed 43 --lr 5e-4 --epochs 6 \
    --epoch-segments 14400

# The last run is best on songs with stuck pedals, the second on recorded music and rare qualities.
python -m recipes.average "$run-fourth" "$run-further" --shares 3 1 -o "$run-average"

python -m recipes.ship "$run-average" --recipe recipes/train_default.sh \
    --labels "$data/rendered" --labels "$data/rendered2" --labels "$data/rendered3" \
    --labels "$data/generated" --labels "$data/rendered4" --labels "$data/rendered5" \
    --labels "$data/rendered6"
