"""Write a small NWB file of reaches in eight directions and tuned neurons: ``nlb_tools_write_nwb.py SESSION.nwb TRIALS``.

Hand speed is a bell after movement onset; the rate of neuron i is exp(b_i + w_i · velocity 80 ms later), spikes are Poisson.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

path, trials = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
step, trial_s, onset_s, neurons = 0.001, 1.0, 0.3, 60

direction = np.arange(trials) % 8
angle = direction * np.pi / 4 + rng.normal(0, 0.15, trials)
peak_s = onset_s + rng.uniform(0.15, 0.25, trials)
clock = np.arange(round(trial_s / step)) * step
speed = np.exp(-0.5 * ((clock - peak_s[:, None]) / 0.08) ** 2) * rng.uniform(0.8, 1.2, (trials, 1))
velocity = np.stack([speed * np.cos(angle)[:, None], speed * np.sin(angle)[:, None]], axis=-1)  # (trials, ms, 2)

weights, base = rng.normal(0, 1.2, (2, neurons)), rng.uniform(np.log(5), np.log(20), neurons)
ahead = np.concatenate([velocity[:, 80:], np.zeros((trials, 80, 2))], axis=1)
spikes = rng.random((trials, len(clock), neurons)) < np.exp(base + ahead @ weights) * step

file = NWBFile("reaches in eight directions, simulated", "example", datetime(2020, 1, 1, tzinfo=UTC))
file.add_unit_column("heldout", "kept from the model's input")
for neuron in range(neurons):
    trial, tick = np.nonzero(spikes[..., neuron])
    file.add_unit(spike_times=np.sort(trial * trial_s + tick * step), heldout=neuron % 4 == 3)
for name in ("move_onset_time", "direction", "split"):
    file.add_trial_column(name, name.replace("_", " "))
for i in range(trials):
    split, start = ("val" if i // 8 % 5 == 4 else "train"), i * trial_s
    file.add_trial(
        start_time=start, stop_time=start + trial_s, move_onset_time=start + onset_s, direction=f"{45 * direction[i]} degrees", split=split
    )
behaviour = file.create_processing_module("behavior", "hand")
behaviour.add(TimeSeries(name="hand_vel", data=velocity.reshape(-1, 2), unit="m/s", rate=1 / step, starting_time=0.0))
with NWBHDF5IO(path, "w") as io:
    io.write(file)
print("wrote", path)
