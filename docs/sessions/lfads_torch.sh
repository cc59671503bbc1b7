#!/usr/bin/env bash
# lfads-torch, its walkthrough: one session, several sessions with alignment by principal components regression, an AutoLFADS search, evaluation.
#
# RECORDING=spikes.h5 takes a recording of yours, such as the monkey maze recording (with hand velocity as <split>_behavior), in place of Lorenz data.
# There: YAML files composed by Hydra, 'run_single', 'run_multisession', 'run_pbt' and a notebook. Here: a command for each.
#
# Run it in an empty folder. REDUCED=1 makes it small: fewer trials and sessions, a small network, a population of three.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=12 --set trials_per_condition=20 --set mean_rate=20)
    sessions=2
    settings=("$here/reduced.yaml")
    population=(--members 3 --epochs 40 --burn-in 20 --set search.interval=10)
else
    size=(--set conditions=65)
    sessions=3
    settings=("$here/autolfads.yaml")
    population=(--members 20)
fi

# One session. A quarter of the neurons is kept from the encoders; how well these are predicted (co-bps) says how good a model is.
if [[ -n ${RECORDING:-} ]]; then
    cp "$RECORDING" single.h5
else
    lfads synth lorenz -o single.h5 "${size[@]}"
fi
lfads data check single.h5
lfads run single.h5 "${settings[@]}" --hold-out 0.25 --set model.controller=null --name single

# Several sessions, read in and out by principal components regression.
lfads synth lorenz -o sessions --seed 1 --set sessions=$sessions --set channels=20 "${size[@]}"
lfads data align sessions --components 8 --ridge -o aligned
lfads run "aligned/*.h5" "${settings[@]}" --set model.controller=null --set model.generator.factors=8 \
    --set components.readin=pcr --set components.readout=pcr --name multi

# AutoLFADS: population-based training of hyperparameters, compared by held-out neurons.
lfads search pbt single.h5 "${settings[@]}" --hold-out 0.25 --set model.controller=null "${population[@]}" --name pbt
lfads search status runs/pbt

# Evaluation: scores beside baselines, runs side by side, one page to show.
lfads eval runs/single --json > single.json
lfads eval runs/pbt --json > pbt.json
lfads compare runs/single runs/pbt -o compare.csv
lfads report runs/pbt -o pbt.html
