#!/usr/bin/env bash
# AutoLFADS on NeuroCAAS: recordings and a YAML file are dropped in, a zip comes out.
#
# There: a web page takes data and config.yaml, a population trains in the cloud, autolfads.zip is for download. Here: the same files, one command.
# Several sessions go in as a zip, and get one model.
#
# Run it in an empty folder. REDUCED=1 makes it small: small recordings, a small network, a population of two.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -n ${REDUCED:-} ]]; then
    size=(--set conditions=6 --set trials_per_condition=12 --set channels=12 --set mean_rate=20)
    settings="$here/reduced.yaml"
    search=(--set model.controller=null --set data.batch_size=16 --set train.epochs=40 --set search.members=2 --set search.burn_in=20 --set search.interval=10)
else
    size=(--set conditions=65)
    settings="$here/autolfads.yaml"
    search=(--set model.controller=null --set search.members=20)
fi

# One recording in: a population is trained, and everything about its best model comes out.
lfads synth lorenz -o data.h5 "${size[@]}"
cp "$settings" config.yaml
lfads bundle data.h5 config.yaml "${search[@]}" -o autolfads.zip
python -m zipfile -l autolfads.zip

# Several sessions in, as a zip; one model for all of them, without a search.
lfads synth lorenz -o sessions --set sessions=2 "${size[@]}"
python -m zipfile -c sessions.zip sessions
lfads bundle sessions.zip config.yaml "${search[@]}" --search none -o sessions_out.zip
python -m zipfile -l sessions_out.zip
