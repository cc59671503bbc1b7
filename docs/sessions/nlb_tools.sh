#!/usr/bin/env bash
# nlb_tools (Neural Latents Benchmark): from an NWB file to held-out neurons and scores.
#
# There: NWBDataset loads and bins a file, make_train_input_tensors and make_eval_target_tensors cut it, a smoothing baseline predicts, evaluate() scores.
# Here: 'lfads data make' cuts, bins and holds out; 'lfads eval' scores the model beside baselines by the same metrics.
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    trials=240
    settings=("$here/reduced.yaml" --set train.epochs=120)
else
    trials=800
    settings=("$here/autolfads.yaml")
fi

# A session as laboratories store it: spike times, trials, hand velocity; a column of the units says which are held out.
python "$here/nlb_tools_write_nwb.py" session.nwb "$trials"

# Trials around movement onset in bins of 10 ms; held-out neurons and the last 100 ms are to be predicted; smoothed spikes come along as a baseline.
lfads data make session.nwb --event move_onset_time --before 150 --after 250 --bin 10 --behaviour hand_vel --condition direction --split-column split \
    --hold-out-column heldout --forward 100 --smooth 50 -o nlb.h5
lfads data check nlb.h5

# The model; the smoothing baseline (and condition averages, factor analysis) beside it: co-bps, fp-bps, PSTH R2, velocity R2.
lfads run nlb.h5 "${settings[@]}" --set model.controller=null --name nlb
lfads eval runs/nlb --few-shot 20
