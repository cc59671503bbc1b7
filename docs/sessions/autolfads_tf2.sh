#!/usr/bin/env bash
# autolfads-tf2: a population on a Lorenz system from a YAML file, posterior sampling of the best model, continuous data chopped and merged back.
#
# There: 'run_lfads' and 'run_pbt' with YAML files, 'sample_and_average', and the chopping tools for recordings without trials.
#
# Run it in an empty folder. REDUCED=1 makes it small: two minutes of data, a small network, a population of three.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    bins=6000 samples=20
    settings=("$here/reduced.yaml" --set data.batch_size=16 --set model.controller=null)
    population=(--members 3 --epochs 80 --burn-in 20 --set search.interval=20)
else
    bins=60000 samples=50
    settings=("$here/autolfads.yaml" --set model.controller=null)
    population=(--members 20)
fi

# A continuous recording: 50 neurons, bins of 20 ms, no trials. Windows of 1 s share 200 ms; the last ones are for validation.
lfads synth lorenz -o long.h5 --set conditions=1 --set trials_per_condition=2 --set train_share=0.5 --set channels=50 --set mean_rate=20 --set bins="$bins"
python "$here/autolfads_tf2_continuous.py" long.h5 continuous.npz
lfads data chop continuous.npz --window 1000 --overlap 200 --last -o chopped.h5

# The search; its spaces stand in the YAML file or are those that settings suggest.
lfads search pbt chopped.h5 "${settings[@]}" "${population[@]}" --name pbt
lfads search status runs/pbt

# More posterior samples of the best model, and its windows back into one recording (neighbours cross-fade).
lfads infer runs/pbt/best --samples "$samples" -o sampled.h5
lfads data merge sampled.h5 -o merged.h5
