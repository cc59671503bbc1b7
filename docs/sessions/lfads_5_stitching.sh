#!/usr/bin/env bash
# LFADS (TensorFlow 1), example 5 of 5: one chaotic network of 100 units, seen 20 units at a time, stitched into one model.
#
# Sessions share conditions and no network but the one behind them. The data come with alignment matrices (readin_weight, readout_bias: regression of each
# session onto the principal components of all condition averages), which the components 'pcr' start from.
#
# Run it in an empty folder. REDUCED=1 makes it small: four sessions instead of ten, fewer trials, more spikes, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set sessions=4 --set conditions=30 --set trials_per_condition=8 --set max_rate=100)
    settings="$here/reduced.yaml"
else
    size=(--set sessions=10 --set conditions=400)
    settings="$here/lfads.yaml"
fi

lfads synth chaotic-rnn -o sessions --set g=1.5 --set units=100 --set channels=20 --set components=10 "${size[@]}"
lfads run sessions "$settings" --set model.controller=null --set model.generator.factors=10 --set components.readin=pcr --set components.readout=pcr --name stitched
