"""Objects that Python people hand over: arrays, tables and options of every type, whole and odd, made by a seed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import click
import numpy as np
import pandas as pd

from fuzzing.damage import ODD_NUMBERS, ODD_TEXT

Generator = np.random.Generator

_ODD = (
    *ODD_TEXT, *ODD_NUMBERS, None, (), [], {}, b"y", 1 + 2j, range(3), object(), np.int8(3), np.float16(2), np.uint64(2**64 - 1), np.array(5),
    np.datetime64("2020-01-01"), np.timedelta64(5, "ms"), dt.timedelta(seconds=1), Decimal("1.5"), Fraction(1, 3), pd.NaT, pd.NA, "train", "a",
)  # fmt: skip


@click.command()
@click.argument("seed", type=int)
def make(seed: int) -> None:
    """Make a recording of odd objects; an error that is one sentence is said, as the command line does."""
    from lfads_core.errors import LfadsError

    rng = np.random.default_rng(seed)
    try:
        click.echo((_arrays if rng.random() < 0.5 else _spikes)(rng)())
    except LfadsError as err:
        click.echo(str(err))
        raise SystemExit(2) from err
    except TypeError as err:
        if "unexpected keyword argument" not in str(err):
            raise


def _arrays(rng: Generator) -> Callable[[], Any]:
    from lfads_core import Recording

    trials, bins, channels = (int(rng.integers(1, most)) for most in (12, 20, 6))
    usual = {
        "bin_ms": 10.0,
        "conditions": rng.integers(0, 2, trials).tolist(),
        "behaviour": rng.normal(size=(trials, bins, 2)),
        "channel_names": [f"c{i}" for i in range(channels)],
        "split": ["train"] * max(trials - 1, 1) + ["valid"],
        "trials": {"start_s": np.arange(trials) * 1.0},
    }
    shapes = {"bin_ms": (), "behaviour": (trials, bins, 2), "channel_names": (channels,), "counts": (trials, bins, channels)}
    given = {"counts": rng.poisson(1, shapes["counts"]), **{name: value for name, value in usual.items() if rng.random() < 0.5}}
    for _ in range(int(rng.integers(1, 3))):
        name = _one(rng, ["counts", *usual, "min_rate", "valid", "seed", "before", "keep_trials", "name"])
        table = name == "trials" and rng.random() < 0.7
        given[name] = {_key(rng): odd(rng, (trials,)), "b": odd(rng, (trials,))} if table else odd(rng, shapes.get(name, (trials,)))
    return lambda: Recording.from_arrays(**given)


def _spikes(rng: Generator) -> Callable[[], Any]:
    from lfads_core import Recording

    times, units = np.sort(rng.uniform(0, 10, 200)), rng.integers(0, 4, 200)
    begin = np.arange(5.0) * 2
    table: Any = {"start": begin, "stop": begin + 1, "go": begin + 0.2, "cond": list("abcde")}
    given: dict[str, Any] = {"times": times, "units": units, "trials": table, "bin_ms": 20.0}
    if rng.random() < 0.5:
        given |= {"times": {i: times[units == i] for i in range(4)}, "units": None}
    for _ in range(int(rng.integers(1, 3))):
        name = _one(rng, ["times", "units", "trials", "unit", "column", "series", "event", "after", "behaviour", "condition", "bin_ms", "window"])
        if name == "unit" and isinstance(given["times"], dict):
            given["times"] = {**given["times"], _key(rng): odd(rng, (30,))}
        elif name == "column":
            given["trials"] = {**table, _key(rng): odd(rng, (5,)), str(rng.choice([*table])): odd(rng, (5,))}
        elif name == "series" and rng.random() < 0.8:
            given |= {"series": {"hand": (odd(rng, (50,)) if rng.random() < 0.5 else np.arange(50) / 5, odd(rng, (50, 2)))}, "behaviour": "hand"}
        elif name not in {"unit", "column"}:
            given[name] = odd(rng, (200,))
    return lambda: Recording.from_spikes(**given)


def odd(rng: Generator, shape: tuple[int, ...]) -> Any:
    """A value, or an array of this shape or another."""
    if rng.random() < 0.4:
        return _one(rng, _ODD)
    shape = shape if rng.random() < 0.7 else tuple(rng.integers(0, 6, rng.integers(0, 5)).tolist())
    whole = rng.poisson(1, shape)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: whole.astype(str(rng.choice(["i1", "u1", "f4", "f2", "u8", ">i4", ">f8", "?", "c8", "U", "S", "M8[s]", "m8[ms]", "O"]))),
        lambda: whole * float(_one(rng, [np.nan, np.inf, -1.0, 1e300, 0.5])),
        lambda: _filled(shape, rng),
        whole.tolist,
        lambda: [whole, whole.tolist(), _one(rng, _ODD)],
        lambda: np.ma.masked_array(whole, mask=whole > 0),
        lambda: _tensor(whole, requires_grad=bool(rng.random() < 0.5)),
        lambda: pd.Series(whole.ravel()),
        lambda: pd.Series(whole.ravel(), dtype="Int64").mask(whole.ravel() > 0),
        lambda: pd.DataFrame(whole.reshape(-1, shape[-1])) if whole.ndim and whole.size else pd.DataFrame(),
        lambda: pd.Categorical(whole.ravel()),
        lambda: np.zeros(shape, [("a", "f8"), ("b", "i4")]),
    )
    return _one(rng, ways)()


def _filled(shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    found = np.empty(shape, dtype=object)
    for at in np.ndindex(shape):
        found[at] = _one(rng, _ODD)
    return found


def _tensor(values: np.ndarray, *, requires_grad: bool) -> Any:
    import torch

    return torch.as_tensor(values, dtype=torch.float32).requires_grad_(requires_grad)


def _key(rng: Generator) -> Any:
    """What a table's column or a unit may be called by."""
    value = _one(rng, _ODD)
    return value if rng.random() < 0.3 and type(value).__hash__ is not None else "a"


def _one(rng: Generator, of: Any) -> Any:
    return of[int(rng.integers(len(of)))]
