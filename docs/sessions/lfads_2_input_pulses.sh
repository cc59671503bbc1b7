#!/usr/bin/env bash
# LFADS (TensorFlow 1), example 2 of 5: a chaotic network that is pushed once in each trial, slow (g = 1.5) and fast (g = 2.5).
#
# The model is not told of the push and infers an input. The data keep the truth: <split>_input_truth is what the network received,
# <split>_input_bin the bin of the pulse; compare <split>_co_means in the outputs (fourth figure in runs/*/plots).
# Inputs have the price of the evidence lower bound, 1 / (100 bins x 50 units), as in the original: a small network that gets them
# cheaper moves its state with them in every bin.
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials, more spikes, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=60 --set trials_per_condition=8 --set max_rate=100)
    settings=("$here/reduced.yaml" --set data.batch_size=64 --set train.epochs=60)
else
    size=(--set conditions=400)
    settings=("$here/lfads.yaml")
fi

for g in 1.5 2.5; do
    lfads synth chaotic-rnn -o "pulses_g$g.h5" --set pulses=true --set g="$g" "${size[@]}"
    lfads run "pulses_g$g.h5" "${settings[@]}" --set regularisation.kl_inputs=2e-4 --name "pulses_g$g"
done
