"""What numbers are called where people read them: metrics, and whatever else has a column in ``fitlog.csv``."""

from __future__ import annotations

from collections.abc import Sequence

METRICS = {
    "bps": "bits per spike, seen channels",
    "co_bps": "bits per spike, held-out channels (co-bps)",
    "fp_bps": "bits per spike, later bins (fp-bps)",
    "r2": "R² to the data",
    "co_r2": "R² to the data, held-out channels",
    "gain_over_constant": "gain over constant distributions (nats a value)",
    "bits_per_event": "gain over constant distributions (bits an event)",
    "fp_r2": "R² to the data, later bins",
    "psth_r2": "R² of condition averages (PSTH)",
    "psth_own_r2": "R² of condition averages (own trials)",
    "velocity_r2": "R² of decoded behaviour, no lag",
    "tp_corr": "speed against time produced, r",
    "r2_truth": "R² to true rates, mean over channels",
    "r2_truth_median": "R² to true rates, median",
    "r2_truth_vw": "R² to true rates, variance-weighted",
}
"""Metrics of the standard package, in the order in which they are shown, and what they are called there."""

_LAGS = {
    "behaviour_lag_ms": "lag of behaviour behind rates (ms)",
    "behaviour_lag_at_edge": "that lag is the first or last tried",
}

_COSTS = {
    "total": "loss",
    "recon": "reconstruction cost",
    "heldout": "cost of held-out channels",
    "masked": "cost of hidden values",
    "ic_kl": "KL divergence of initial conditions",
    "input_kl": "KL divergence of inferred inputs",
    "l2": "L2 penalty",
    "grad_norm": "norm of the gradient",
    "lr": "learning rate",
    "ramps": "ramps",
    "kl_ramp": "of the KL terms",
    "l2_ramp": "of the L2 terms",
}

_LATENTS = {"ic": "initial conditions", "inputs": "inferred inputs"}


def title(metric: str, dimensions: Sequence[str] = ()) -> str:
    """What a metric is called; ``dimensions`` are the names of the dimensions of behaviour, as far as they are known."""
    for beginning, more in (("behaviour_r2_", ""), ("behaviour_fold_r2_", " (no lag, own trials)")):
        if metric.startswith(beginning):
            return f"R² of decoded {_dimension(metric.removeprefix(beginning), dimensions)}{more}"
    return METRICS.get(metric, _LAGS.get(metric, metric.replace("_", " ")))


def column_title(column: str, dimensions: Sequence[str] = ()) -> str:
    """What a column of the log is called, without the split that it begins with; a session's name comes last.

    >>> column_title("recon/monday"), column_title("loss_ramp/behaviour"), column_title("prior/inputs/tau")
    ('reconstruction cost, monday', 'of behaviour', 'tau of the prior of inferred inputs')
    """
    match column.split("/"):
        case ["loss_ramp", name]:
            return f"of {_spoken(name)}"
        case ["prior", *of, name]:
            return f"{_spoken(name)} of the prior of {_LATENTS.get(of[-1], _spoken(of[-1])) if of else 'latents'}"
        case ["latent", name, "kl", *session]:
            return ", ".join([f"KL divergence of {_spoken(name)}", *session])
        case ["loss", name, term, *session]:
            return ", ".join([f"{_spoken(name)}: {_spoken(term)}", *session])
        case [name, *session]:
            return ", ".join([_COSTS.get(name) or title(name, dimensions), *session])
    return column


def sentence(words: str) -> str:
    """The same with a capital letter."""
    return words[:1].upper() + words[1:]


def score_title(column: str) -> str:
    """What a column of the log is called with its split, such as ``valid/co_bps`` that a search compares by."""
    split, _, rest = column.partition("/")
    spoken = {"train": "training", "valid": "validation", "test": "test"}.get(split)
    smoothed = rest.endswith("_smooth")
    name = column_title(rest.removesuffix("_smooth") if spoken and rest else column)
    return f"{name}, {spoken} trials{' (smoothed)' if smoothed else ''}" if spoken and rest else name


def score_text(value: float | None, metric: str, digits: int) -> str:
    """A score in as many digits; a lag in whole ms, and yes or no where that is the question."""
    if value is None:
        return "n/a"
    if metric.endswith("_at_edge"):
        return "yes" if value else "no"
    return f"{value:g}" if metric.endswith("_ms") else f"{value:.{digits}f}"


def unit_of_column(column: str, cost: str = "nats/value") -> str:
    """The unit of a column, without its split; ``cost`` is that of the reconstruction's cost."""
    name = "ic_kl" if column.startswith("latent/") else column.partition("/")[0].removesuffix("_smooth")
    if name.endswith("_ms"):
        return "ms"
    units = {"ic_kl": "nats/trial", "input_kl": "nats/trial", "tp_corr": "r", "lr": "per step", "ramps": "share of the full weight"}
    units |= dict.fromkeys(("bps", "co_bps", "fp_bps"), "bits/spike") | dict.fromkeys(("recon", "heldout", "masked"), cost)
    return units.get(name, "R²" if "r2" in name.split("_") else "")


def _dimension(number: str, dimensions: Sequence[str]) -> str:
    known = number.isdecimal() and int(number) < len(dimensions)
    return dimensions[int(number)] if known else f"behaviour, dimension {number}"


def _spoken(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
