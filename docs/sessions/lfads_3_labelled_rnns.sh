#!/usr/bin/env bash
# LFADS (TensorFlow 1), example 3 of 5: two chaotic networks; which of them a trial comes from is told to the model as an external input.
#
# The label enters the generator in every bin (<split>_ext_input, a 1 among zeros).
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials, more spikes, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=40 --set max_rate=100)
    settings=("$here/reduced.yaml" --set train.epochs=90)
else
    size=(--set conditions=400)
    settings=("$here/lfads.yaml")
fi

lfads synth labelled-rnns -o labelled.h5 --set g=1.5 "${size[@]}"
lfads run labelled.h5 "${settings[@]}" --set model.controller=null --name labelled
