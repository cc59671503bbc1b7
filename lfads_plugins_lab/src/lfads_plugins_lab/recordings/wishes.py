"""What a user wants of a raw recording, by the names of the command line's options, as options of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfads_core.errors import ConfigError
from lfads_plugins_lab.recordings.files import TABLES, SourceOptions
from lfads_plugins_lab.recordings.options import HoldOutOptions, MakeOptions, SplitOptions, WindowOptions

DEFAULTS: Mapping[str, Any] = {
    "trials": (), "units": None, "series": (), "keys": (), "axes": (), "times_from": None, "time_unit": None,
    "event": None, "from_start": False, "before_ms": 0.0, "after_ms": None, "jitter_ms": 0.0, "beyond": "keep", "overlaps": "refuse",
    "bin_ms": None, "mean": False, "smooth_ms": 0.0, "min_rate": 0.0, "behaviour": (), "circular": (),
    "external": (), "max_gap": 100.0, "unobserved": "drop",
    "valid": 0.2, "test": 0.0, "every": None, "last": False, "split_column": None, "seed": 0, "no_stratify": False, "condition": (),
    "decode_within": None, "hold_out": 0.0, "hold_out_channel": (), "hold_out_column": None, "forward_ms": 0.0,
}  # fmt: skip
"""What holds where nothing is said. A test holds it to the command's own defaults."""


def wishes(window: WindowOptions, said: Mapping[str, Any]) -> tuple[SourceOptions, MakeOptions]:
    """How the source is to be understood, and how it is cut.

    Raises:
        ConfigError: options contradict one another, or are none.
    """
    table, condition = _trials(said["trials"])
    only = tuple(text for text in said["series"] if "=" not in text)
    axes, own = _axes(said["axes"])
    source = SourceOptions(
        trials=table,
        series={name: Path(path) for name, path in pairs([text for text in said["series"] if "=" in text], "--series").items()},
        keys=pairs(said["keys"], "--key"),
        axes=axes,
        own_axes=own,
        times_from=said["times_from"],
    )
    options = MakeOptions(
        bin_ms=said["bin_ms"],
        clock=said["time_unit"],
        window=window,
        split=_split(said),
        hold_out=HoldOutOptions(
            fraction=said["hold_out"],
            seed=said["seed"],
            channels=said["hold_out_channel"],
            column=said["hold_out_column"],
            forward_ms=said["forward_ms"],
        ),
        condition=said["condition"],
        behaviour=said["behaviour"],
        circular=said["circular"],
        external=said["external"],
        keep_units=said["units"],
        keep_trials=condition,
        series=only or None,
        min_rate_hz=said["min_rate"],
        unobserved=said["unobserved"],
        reduce="mean" if said["mean"] else "sum",
        smooth_ms=said["smooth_ms"],
        max_gap_ms=said["max_gap"],
        decode_within=said["decode_within"],
    )
    return source, options


def aligned(said: Mapping[str, Any]) -> WindowOptions:
    """Windows around an event of each trial."""
    names = ("event", "from_start", "before_ms", "after_ms", "jitter_ms", "beyond", "overlaps")
    return WindowOptions(jitter_seed=said["seed"], **{name: said[name] for name in names})


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE texts as a mapping.

    Raises:
        ConfigError: one is none.
    """
    found = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ConfigError(f"{option}: must be NAME=VALUE, got {text!r}")
        found[name] = value
    return found


def _trials(texts: Sequence[str]) -> tuple[Path | None, str | None]:
    """A table by its name, and a condition: what is a file, or ends as tables do, is the table."""
    tables = [text for text in texts if Path(text).suffix.lower() in TABLES or Path(text).is_file()]
    conditions = [text for text in texts if text not in tables]
    for what, given in (("table", tables), ("condition", conditions)):
        if len(given) > 1:
            joined = "; join conditions by 'and'" if what == "condition" else ""
            raise ConfigError(f"--trials: must be given one {what} at most, got {', '.join(map(repr, given))}{joined}")
    return (Path(tables[0]) if tables else None), (conditions[0] if conditions else None)


def _axes(texts: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """The order of all arrays' axes, and those of arrays by name."""
    general = [text for text in texts if "=" not in text]
    if len(general) > 1:
        raise ConfigError(f"--axes: must be given once for all arrays, got {', '.join(general)}. Name the others' arrays: --axes NAME=ORDER.")
    return (general[0] if general else None), pairs([text for text in texts if "=" in text], "--axes")


def _split(said: Mapping[str, Any]) -> SplitOptions:
    ways = {"every": said["every"] is not None, "last": said["last"], "column": said["split_column"] is not None}
    chosen = [way for way, given in ways.items() if given]
    if len(chosen) > 1:
        raise ConfigError("--every, --last, --split-column: exclude each other, got several. Give one of them.")
    by: Any = chosen[0] if chosen else "random"
    return SplitOptions(
        by=by,
        valid=said["valid"],
        test=said["test"],
        every=said["every"] or 5,
        column=said["split_column"] or "split",
        seed=said["seed"],
        stratify=not said["no_stratify"],
    )
