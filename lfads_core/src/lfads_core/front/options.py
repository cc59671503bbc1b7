"""Options of recordings in Python, those of ``lfads data make`` under names of their own; what runs and searches take stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class ArrayOptions(TypedDict, total=False):
    """What is said of trials that are cut already; times in ms."""

    name: str  #: of the session; the file's name, or "recording", by default
    event: str  #: what trials are aligned to, a column of theirs where they are still to be cut; their start by default
    before: float  #: so many ms before it they begin
    min_rate: float  #: leave out channels with fewer events per second
    keep_trials: str  #: only trials for which this holds, such as ``success and reaction_time < 0.5``
    valid: float  #: share of trials for validation, 0.2 by default
    test: float  #: share of trials for testing, 0 by default
    last: bool  #: the last trials are for validation, then testing
    seed: int  #: of the random split
    stratify: bool  #: the same share of each condition in every split, as it is by default


class CutOptions(ArrayOptions, total=False):
    """How raw recordings are cut and binned too: options of ``lfads data make`` under the same names; times in ms."""

    event_from_start: bool  #: the event's times count from the start of each trial
    after: float  #: end so many ms after the event; by default as the shortest trial does
    bin_ms: float  #: width of a bin; by default 10 for times of events, else the source's
    keep_units: str  #: only units for which this holds, such as ``quality == 'good'``
    condition: str | Sequence[str]  #: column that is the condition, or several for their combinations
    behaviour: str | Sequence[str]  #: signals to decode as a score
    external: str | Sequence[str]  #: signals that are external inputs
    circular: str | Sequence[str]  #: signals that are angles, averaged round the circle
    decode_within: str  #: column of the trials; behaviour is decoded within the trials of each of its values
    max_gap: float  #: gap up to which a signal is interpolated, 100 by default
    beyond: Literal["keep", "drop", "nan"]  #: bins of a window beyond its trial
    overlaps: Literal["refuse", "keep"]  #: windows that share time
    unobserved: Literal["drop", "nan"]  #: trials in which a channel was off
    jitter: float  #: move each window at random by up to so much
    smooth: float  #: carry along data smoothed by a Gaussian of this width
    time_unit: Literal["s", "ms", "us", "ns"]  #: of all times; s by default, and what looks odd is refused
    window: float  #: chop into windows of this length, whatever the trials are
    overlap: float  #: that neighbouring windows share
    split_column: str  #: column of the trials that says train, valid or test
    every: int  #: every n-th trial is for validation
    hold_out_channel: str | Sequence[str]  #: channels to predict unseen, by name; a share of all is lf.run's hold_out
    hold_out_column: str  #: column of the units that is true for such channels
    forward: float  #: end of each trial that is to be predicted


class FileOptions(CutOptions, total=False):
    """How a file is to be understood too."""

    axes: str | Sequence[str]  #: order of the axes, such as nbt; of one array by its name, such as hand=nbt
    key: str | Sequence[str]  #: arrays by what they are, such as data=R_y
    times_from: Literal["trial", "session"]  #: what times in a cell for each trial count from
    mean: bool  #: average the source's bins where new ones are wider, instead of summing
