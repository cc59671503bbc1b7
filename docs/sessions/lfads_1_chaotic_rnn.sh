#!/usr/bin/env bash
# LFADS (TensorFlow 1), example 1 of 5 and its three follow-ups: a chaotic network without inputs.
#
# The original made the data with a generator script, trained with the mode 'train', and then wrote posterior averages ('posterior_sample_and_average'),
# trials drawn from the prior ('prior_sample') and all parameters ('write_model_params') with the same script. Here each step is a command.
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials, more spikes, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=40 --set max_rate=100)
    settings="$here/reduced.yaml" samples=10 trials=64
else
    size=(--set conditions=400)
    settings="$here/lfads.yaml" samples=1024 trials=512
fi

# Data: 50 units, spikes drawn from their rates; a condition is a start state, and has ten trials.
lfads synth chaotic-rnn -o chaotic.h5 --set g=1.5 "${size[@]}"

# Training. Without inputs to infer there is no controller. The end of it prints how well the true rates are found (r2_truth).
lfads run chaotic.h5 "$settings" --set model.controller=null --name chaotic

# Follow-up 1: sample the posterior of every trial and average what the samples give; push the posterior means through, which is quicker; bound the likelihood.
lfads infer runs/chaotic --samples "$samples" -o posterior_average.h5
lfads infer runs/chaotic --means -o posterior_means.h5
lfads bound runs/chaotic --samples "$samples" -o bound.h5

# Follow-up 2: new trials from the prior.
lfads generate runs/chaotic --trials "$trials" --seed 1 -o prior_samples.h5

# Follow-up 3: every parameter of the model under its name.
lfads export runs/chaotic --parameters parameters.h5
