"""Who offers what, for names that are not installed: the distributions of this project, without importing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

OFFERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "lfads-plugins-std": {
        "prior": ("autoregressive", "normal", "null", "student-t"),
        "reconstruction": ("gaussian", "mse", "poisson", "poisson-bps"),
        "augmentation": ("coordinated-dropout", "sample-validation", "spike-jitter"),
        "encoder": ("lstm", "transformer"),
        "generator": ("linear-dynamics", "low-rank", "mlp"),
        "alignment": ("nomad",),
        "latent": ("context",),
        "loss": ("behaviour", "input-correlation"),
        "readin": ("linear", "pcr"),
        "readout": ("linear", "pcr"),
        "recipe": ("gaussian", "spikes"),
        "synthetic": ("chaotic-rnn", "drifting-days", "integration-to-bound", "labelled-rnns", "lorenz"),
        "metric": ("bits-per-spike", "psth", "r2-data", "r2-truth", "tp-corr", "velocity"),
        "report": ("factors", "inputs", "training-curves", "trials", "truth"),
        "recurrence": ("compiled",),
        "command": ("compile", "demo"),
        "doctor check": ("compiled-loops", "figures"),
    },
    "lfads-plugins-calcium": {
        "reconstruction": ("zero-inflated-gamma",),
        "augmentation": ("sbtt",),
        "recipe": ("radical", "zig"),
        "synthetic": ("calcium",),
        "recording format": ("caiman", "suite2p"),
    },
    "lfads-plugins-tune": {
        "tracker": ("mlflow", "tensorboard"),
        "settings": ("search", "track"),
        "command": ("bundle", "collection", "search", "ui"),
        "function": ("search", "search-figure", "search-headline", "search-resume", "search-table"),
        "doctor check": ("mlflow-store", "searches"),
        "executor": ("batched", "ray", "serial"),
        "report section": ("search",),
        "search": ("grid", "pbt", "random", "sha", "tpe"),
    },
    "lfads-plugins-lab": {
        "exporter": ("h5", "mat", "page", "parameters"),
        "foreign settings": ("autolfads-tf2", "lfads-tf1", "lfads-torch"),
        "recording format": ("hdf5", "matlab", "npz", "nwb", "tables"),
        "command": (
            "bench",
            "bound",
            "compare",
            "config import",
            "data align",
            "data chop",
            "data make",
            "data merge",
            "data rebin",
            "data set",
            "data smooth",
            "data split",
            "eval",
            "export",
            "generate",
            "report",
            "stream",
        ),
        "function": (
            "estimator",
            "recording-data",
            "recording-from-arrays",
            "recording-from-pynapple",
            "recording-from-raw",
            "recording-from-spikes",
            "run-compare",
            "run-evaluate",
            "run-figure",
            "run-figures",
            "run-generate",
            "run-log",
            "run-report",
            "run-results",
            "run-to-nwb",
            "run-to-pynapple",
        ),
        "doctor check": ("recordings",),
        "report section": (
            "conditions",
            "decoding",
            "factors",
            "figures",
            "initial",
            "inputs",
            "outputs",
            "quality",
            "settings",
            "training",
            "trials",
            "truth",
        ),
    },
    "lfads-plugins-emg": {
        "reconstruction": ("gamma",),
        "augmentation": ("random-gain", "temporal-shift"),
        "recipe": ("emg",),
        "synthetic": ("emg",),
    },
}
"""Distribution -> kind -> names. A test holds it to what the packages register."""


HOOKS: Mapping[str, tuple[str, ...]] = {
    "lfads-plugins-tune": ("lfads_executors", "lfads_searches", "lfads_search_started", "lfads_generation_ended", "lfads_search_finished"),
    "lfads-plugins-lab": ("lfads_foreign_settings",),
}
"""Distribution -> hooks that it declares. A test holds it to what the packages declare."""


def offered(kinds: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Names that our distributions offer for these kinds, or for every kind, each with its distribution."""
    wanted = None if kinds is None else tuple(kinds)
    for distribution, by_kind in OFFERS.items():
        for kind, names in by_kind.items():
            if wanted is None or kind in wanted:
                yield from ((name, distribution) for name in names)
