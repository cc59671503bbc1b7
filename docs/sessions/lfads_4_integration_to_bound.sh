#!/usr/bin/env bash
# LFADS (TensorFlow 1), example 4 of 5: a network that adds up noisy evidence until it reaches a bound.
#
# The evidence reaches the network in every bin and differs from condition to condition; the model infers it as an input. The data keep the evidence
# (<split>_input_truth), what the network reports (<split>_report) and when it decides (<split>_bound_bin).
# The network comes trained; the commented line trains another.
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials, more spikes, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=80 --set max_rate=100)
    settings="$here/reduced.yaml"
else
    size=(--set conditions=800)
    settings="$here/lfads.yaml"
fi

# python -m lfads_plugins_std.bound_training mine.npz --seed 1     # then add: --set weights=mine.npz
lfads synth integration-to-bound -o bound.h5 "${size[@]}"
lfads run bound.h5 "$settings" --name bound
