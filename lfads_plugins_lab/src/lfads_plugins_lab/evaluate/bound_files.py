"""Bounds on the likelihood of recordings, written to files: ``lfads bound`` without its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from lfads_core.files import replacing, spoken_failure
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.run import sessions_for
from lfads_core.output_file import OutputFile
from lfads_core.train.data import trial_source
from lfads_plugins_lab.evaluate.bound import Bounds, bound_split

MEANINGS = {
    "nll": "reconstruction, summed over bins and channels, mean over posterior samples",
    "kl_ic": "ln q - ln p of the initial condition, mean over posterior samples",
    "kl_inputs": "ln q - ln p of the inferred inputs, summed over bins, mean over posterior samples",
    "elbo": "evidence lower bound, -(nll + kl_ic + kl_inputs)",
    "iwae": "importance-weighted bound of all samples",
}


def bound_files(
    loaded: LoadedRun, patterns: Sequence[str | Path] | None, *, samples: int, output: Path | None
) -> dict[str, tuple[Path, dict[str, float]]]:
    """Write the bounds of every trial of recordings; by session, the file and the mean of each split's bounds.

    A file holds ``<split>_<field>`` for each field of :class:`~lfads_plugins_lab.evaluate.bound.Bounds`, and ``prior_ic_mean``, ``prior_ic_std``
    where the prior of the initial condition has them.

    Raises:
        ConfigError: a prior has no density.
        DataError: recordings that do not fit the model.
        RunError: a file cannot be written.
    """
    found = {}
    sessions = sessions_for(loaded, patterns)
    for session in sessions:
        by_split: dict[str, Bounds] = {}
        for split in session.splits:
            source = {session.name: trial_source(session, split, loaded.model.device)}
            by_split |= {
                split: bound_split(
                    loaded.model,
                    loaded.infer_stack,
                    source,
                    samples=samples,
                    batch_size=loaded.config.infer.batch_size,
                    seed=loaded.config.train.seed,
                )[session.name]
            }
        path = loaded.run.path / f"lfads_bound_{session.name}.h5" if output is None else output
        if output is not None and (len(sessions) > 1 or output.is_dir()):
            path = output / f"lfads_bound_{session.name}.h5"
        _write(path, loaded, by_split, samples)
        found[session.name] = (path, {f"{s}/{name}": float(getattr(of, name).mean()) for s, of in by_split.items() for name in ("elbo", "iwae")})
    return found


def _write(path: Path, loaded: LoadedRun, by_split: dict[str, Bounds], samples: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with spoken_failure(path), replacing(path) as temporary, OutputFile(temporary) as file:
        file.attrs["lfads_posterior_samples"] = samples
        for split, bounds in by_split.items():
            for field in fields(bounds):
                dataset = file.create_dataset(f"{split}_{field.name}", data=getattr(bounds, field.name))
                dataset.attrs["meaning"], dataset.attrs["unit"] = MEANINGS[field.name], "nats"
        moments = loaded.model.ic_prior.moments()
        if moments is not None:
            for name, value in zip(("prior_ic_mean", "prior_ic_std"), moments, strict=True):
                file.create_dataset(name, data=np.asarray(value.cpu().numpy())).attrs["unit"] = "arbitrary"
