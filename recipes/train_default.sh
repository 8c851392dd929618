#!/bin/sh
# Makes the packaged model again, end to end: data, labels, training, choice of the decoder, export.
# Every step is skipped if it is done and goes on where it was interrupted.
#
#     sh recipes/train_default.sh [DATA] [RUN]
#
# CHORDTOOL_MODELS names the folder with the teachers' weights, if they are not downloaded. The second
# stage is 2.4 million segments, and two later runs 3.2 and 4 million: minutes each on a large GPU, a day
# and more on two cores.
set -eu
data=${1:-../data} run=${2:-../data/run-default}
music=../shared/audio/unlabelled

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
python -m recipes.render_midi --seed 7 --mixed-pedal 1 --excerpt-seconds 0 --skip 70 --limit 88 \
    --out "$data/rendered7"
python -m recipes.render_midi --seed 8 --stuck-pedal 1 --excerpt-seconds 0 --skip 200 --limit 80 \
    --out "$data/rendered8"
python -m recipes.render_midi --seed 9 --held-pedal 0.2 --stuck-pedal 0.15 --mixed-pedal 0.25 \
    --drawn-timbres 0.15 --excerpt-seconds 100 --limit 137 --out "$data/rendered9"
python -m recipes.sung_songs --seed 41 --limit 84 --out "$data/sung"
python -m recipes.generate_songs --songs 200 --out "$data/generated"
python -m recipes.generate_takes --out "$data/generated"

# Of the unlabelled music shard 8/8 is left for testing, and eight recordings of shard 4/8. These and
# nine of the test's help to choose the decoder's costs: held_out.txt.
label() { chordtool label-corpus "$@" --teacher lv --student-front-end default+6; }
label $music -o "$data/corpus-lv" --shard 1/2
label $music -o "$data/corpus-lv" --shard 2/4
find $music -name '*.opus' | grep -v -F -f recipes/held_out.txt >"$data/extra.txt"
label --from-file "$data/extra.txt" -o "$data/corpus-extra" --shard 4/8
mkdir -p "$data/music" "$data/pop"
while read -r name; do cp "$music/$name" "$data/music/"; done <recipes/held_out.txt
chordtool transcribe --model lv "$data/music" -o "$data/music" --skip-existing

# More real music, of other composers, out of Debian's packages. That of the packages which are held
# out helps to choose the decoder's costs, and is never trained on.
python -m recipes.debian_music --out "$data/debian-music"
label "$data/debian-music/music" -o "$data/corpus-debian"
chordtool transcribe --model lv "$data/debian-music/held-out" -o "$data/debian-music/held-out" \
    --skip-existing

# Stage 1, on the first of this music and 160 renderings by their sound alone: a row of the table of results.
table() {
    python -m recipes.results --out "$data/results" --corpus "$data/corpus-stage1" \
        --labels "$data/rendered2" --songs 40 --scale 0.1667 --epochs 10 --precision bfloat16 "$@"
}
table --prepare
find "$data/rendered" -name '*-s1.flac' | sed 's#.*/##; s/-s1.flac//' | sort | while read -r song; do
    test -e "$data/results/data/labels/100/$song-s2.lab" || echo "$song"
done | head -n 160 | while read -r song; do cp "$data/rendered/$song-s1.flac" "$data/pop/"; done
label $music -o "$data/corpus-stage1" --shard 1/2
label $music -o "$data/corpus-stage1" --shard 2/4
label "$data/pop" -o "$data/corpus-stage1"
table --only btc-stage1

# Stage 2, on all labels, with the music and its teacher beside them.
learn() {
    chordtool finetune --cache "$data/cache" --song-pattern '^(.+)-s[0-9]+$' --replay "$data/corpus-lv" \
        --kd-on replay --kd-weighting plain --temperature 2 \
        --validation-share 0.04 --test-share 0 --patience 0 --balance 0.1 \
        --schedule cosine --lr-start 1e-5 \
        --pitch-low -5 --pitch-high 6 --gain-db 6 --eq-db 6 --noise-db 20 \
        --detune-cents 20 --sustain 0.12 --licence MIT "$@"
}
train() {
    learn --labels "$data/rendered" --labels "$data/rendered2" --labels "$data/rendered3" \
        --labels "$data/generated" --labels "$data/rendered4" --labels "$data/rendered5" \
        --labels "$data/rendered6" --labels "$data/rendered7" --labels "$data/rendered8" \
        --weight 0.7 --weight 1 --weight 1 --weight 1.5 --weight 1.5 --weight 1.2 --weight 2 \
        --weight 3 --weight 2 --replay "$data/corpus-extra" --replay-share 0.3 --kd-alpha 0.2 \
        --ema-decay 0.999 --jitter-frames 54 --precision bfloat16 "$@"
}
train --student "$data/results/runs/btc-stage1" -o "$run" --dropout 0.12 --batch-size 512 \
    --lr 1.5e-3 --warmup-epochs 0.9 --epochs 23 --epoch-segments 102912

# On from there twice, in small batches, once with less of the music; the three are averaged.
further() {
    train --student "$run" --split "$run/split.json" --dropout 0.08 --batch-size 16 --lr 5e-4 "$@"
}
further -o "$run-further" --seed 61 --warmup-epochs 1.3 --epochs 33 --epoch-segments 5120
further -o "$run-other" --seed 62 --replay-share 0.2 --warmup-epochs 0.8 --epochs 20 \
    --epoch-segments 5184
python -m recipes.average "$run" "$run-further" "$run-other" --shares 1 1 1 -o "$run-average"

# On from the average twice more, one after the other, with the packages' music, too, and real music in
# half of the segments. What these gain on music and lose on renderings, an average with the one before
# gains and keeps.
music() {
    train --split "$run/split.json" --replay "$data/corpus-debian" --replay-share 0.5 \
        --batch-size 32 --warmup-epochs 0.6 --epoch-segments 13440 "$@"
}
music --student "$run-average" -o "$run-music" --seed 72 --dropout 0.06 --lr 7e-4 --epochs 12
music --student "$run-music/last.safetensors" -o "$run-music-further" --seed 73 --dropout 0.05 \
    --lr 5e-4 --epochs 7
python -m recipes.average "$run-average" "$run-music/last.safetensors" \
    "$run-music-further/last.safetensors" --shares 2 1 1 -o "$run-before"

# And on with Muon, which gets further in as many segments, and without dropout: the student is short of
# training, not of data. The average keeps what it had learnt about stuck pedals.
music --student "$run-before" -o "$run-muon" --seed 81 --optimiser muon --dropout 0 --kd-alpha 0.3 \
    --lr 3e-4 --epochs 24
python -m recipes.average "$run-before" "$run-muon/last.safetensors" --shares 1 2 -o "$run-both"

# The same for ten times as long, where a GPU is: the student is still short of training.
music --student "$run-both" -o "$run-long" --seed 91 --optimiser muon --dropout 0 --kd-alpha 0.3 \
    --batch-size 256 --lr 8e-4 --epochs 40 --epoch-segments 80128

# From here on music is six tenths of the segments. Three ends of that run, whose average is better on
# music that was not trained on than any of them: one a little further, with music as it sounds; two out of
# a long run on the teacher's path.
end() {
    train --split "$run/split.json" --replay "$data/corpus-debian" --replay-share 0.6 --kd-alpha 0.3 \
        --optimiser muon --dropout 0 "$@"
}
end --student "$run-long" -o "$run-plain" --seed 101 --augment-on labels --batch-size 32 --lr 2e-4 \
    --ema-decay 0 --warmup-epochs 0.3 --epochs 9 --epoch-segments 7680
path() { end --path-cost 6 --batch-size 512 "$@"; }
path --student "$run-long" -o "$run-path" --seed 101 --lr 1.1e-3 --schedule constant --warmup-epochs 0.5 \
    --epochs 41 --epoch-segments 98304
path --student "$run-path/last.safetensors" -o "$run-path-plain" --seed 121 --augment-on labels \
    --lr 8e-4 --ema-decay 0 --warmup-epochs 0 --epochs 4 --epoch-segments 40960
path --student "$run-path/last.safetensors" -o "$run-path-soft" --seed 123 --kd-alpha 0.6 --lr 1.1e-3 \
    --ema-decay 0 --warmup-epochs 0 --epochs 22 --epoch-segments 40960
python -m recipes.average "$run-path-plain" "$run-path-soft/last.safetensors" "$run-plain" --shares 1 1 2 \
    -o "$run-ends"

# An average lies nearer to where its parts began than they do: a step on in the direction that it took.
python -m recipes.average "$run-ends" "$run-long" --shares 1.3 -0.3 -o "$run-beyond"

# Segments of twenty seconds, at the positions of ten (chordtool.models.btc.timing_signal): what was
# learnt holds from the first step, and the student learns to make use of what is further away. Twice,
# once with music as it sounds; the best of each run is averaged with where they began.
long() {
    learn --split "$run/split.json" --labels "$data/sung" --labels "$data/rendered9" \
        --labels "$data/generated" --replay "$data/corpus-debian" --kd-alpha 0.3 --optimiser muon \
        --dropout 0 --ema-decay 0 --segment-frames 216 --jitter-frames 108 --batch-size 16 --lr 1.5e-4 \
        --warmup-epochs 0.3 "$@"
}
twenty() {
    long --student "$run-beyond" --replay-share 0.6 --stride 108 --epoch-segments 4096 "$@"
}
twenty -o "$run-twenty-plain" --seed 301 --augment-on labels --epochs 10
twenty -o "$run-twenty-all" --seed 302 --epochs 8
python -m recipes.average "$run-twenty-plain" "$run-twenty-all" "$run-beyond" --shares 0.35 0.35 0.3 \
    -o "$run-twenty"

# Short runs from there, on the teacher's path through all the music: longer ones get worse at music that they
# do not hear. What these have in common is what the average keeps.
short() {
    long --student "$run-twenty" --replay "$data/corpus-extra" --path-cost 7.5 --stride 54 "$@"
}
short -o "$run-short-1" --seed 401 --augment-on labels --replay-share 0.6 --epochs 4 --epoch-segments 4096
short -o "$run-short-2" --seed 402 --replay-share 0.6 --epochs 3 --epoch-segments 4096
short -o "$run-short-3" --seed 403 --augment-on labels --replay-share 0.7 --epochs 2 --epoch-segments 5120
short -o "$run-short-4" --seed 404 --replay-share 0.7 --epochs 2 --epoch-segments 5120
python -m recipes.average "$run-twenty" "$run-short-1/last.safetensors" "$run-short-2/last.safetensors" \
    "$run-short-3/last.safetensors" "$run-short-4/last.safetensors" --shares 0.2 0.26 0.26 0.14 0.14 \
    -o "$run-second"
cp "$run/split.json" "$run-second/"

python -m recipes.ship "$run-second" --recipe recipes/train_default.sh --context-frames 14 \
    --music "$data/music" --music "$data/debian-music/held-out" \
    --labels "$data/rendered" --labels "$data/rendered2" --labels "$data/rendered3" \
    --labels "$data/generated" --labels "$data/rendered4" --labels "$data/rendered5" \
    --labels "$data/rendered6" --labels "$data/rendered7" --labels "$data/rendered8"
