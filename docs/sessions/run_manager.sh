#!/usr/bin/env bash
# LFADS Run Manager, its quick example: several sessions of a Lorenz system, single-session and stitched models, a sweep, and the results in Python.
#
# There: a dataset collection, a run collection with run specs and parameter settings (generateSweep), prepareForLFADS, a task queue in tmux, and results
# loaded back. Here: 'lfads data align' (with its alignment plots), a collection of 1 dataset x 4 values of one setting, prepare, start, status, table.
#
# Run it in an empty folder. REDUCED=1 makes it small: two sessions, fewer conditions and epochs, a small network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set sessions=2 --set conditions=8 --set trials_per_condition=20 --set channels=16 --set mean_rate=20)
    settings=(--set data.batch_size=32 --set model.encoder.hidden=24 --set model.controller=null --set model.generator.hidden=48 --set model.dropout=0.05 --set optim.lr=0.01
        --set regularisation.kl_ramp.increase_epochs=10 --set regularisation.l2_ramp.increase_epochs=10
        --set train.epochs=25 --set infer.samples=10 --set track.mlflow=false)
    jobs=1
else
    size=(--set sessions=3 --set conditions=65 --set trials_per_condition=16 --set channels=35)
    settings=(--set model.generator.hidden=64 --set model.controller=null)
    jobs=2
fi

# Sessions with neurons of their own and the same conditions; what 'align' finds is drawn, a figure per session.
lfads synth lorenz -o sessions "${size[@]}"
lfads data check sessions
lfads data align sessions --components 8 -o aligned

# One model for all sessions, with four values of one setting: 1 x 4 runs.
lfads collection new sweep --together all="aligned/*.h5" --set components.readin=pcr --set components.readout=pcr --set model.generator.factors=8 \
    "${settings[@]}" --vary regularisation.l2_generator=0,1e-4,1e-2,1
lfads collection prepare sweep
lfads collection info sweep
lfads collection list sweep

# The queue works in the background; 'status' may be asked at any time.
lfads collection start sweep --jobs "$jobs" --detach
lfads collection status sweep
lfads collection wait sweep
lfads collection status sweep
lfads collection table sweep -o scores.csv

# Results as Python objects: the runs, their settings and outputs, condition averages.
python "$here/run_manager_results.py" sweep
