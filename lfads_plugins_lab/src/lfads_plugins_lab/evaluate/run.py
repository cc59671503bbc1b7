"""Everything that ``lfads eval`` finds out about a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lfads_core.components.evaluation import Evaluation
from lfads_core.files import write_json
from lfads_core.infer.loading import LoadedRun
from lfads_core.train.evaluate import score_session
from lfads_core.train.threads import set_threads
from lfads_plugins_lab.evaluate.baselines import NAMES, Baseline, baselines
from lfads_plugins_lab.evaluate.costs import Costs, costs_of
from lfads_plugins_lab.evaluate.cross_session import CrossSession, cross_sessions
from lfads_plugins_lab.evaluate.few_shot import FewShot, few_shot
from lfads_plugins_lab.evaluate.lacking import lacking
from lfads_plugins_lab.evaluate.overfit import Verdict, judge_fit
from lfads_plugins_lab.evaluate.recorded import Recorded, left_out, recorded_sessions
from lfads_plugins_std.figures.of_session import dimensions_of
from lfads_plugins_std.metrics.conditions import score_conditions
from lfads_plugins_std.metrics.offered import behaviour_metrics, psth_name
from lfads_plugins_std.metrics.r2 import r2_per_channel
from lfads_plugins_std.metrics.spikes import bits_per_spike

FILE = "evaluation.json"
MODEL = "LFADS"
SMOOTHING = NAMES[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class SessionReport:
    """One session's numbers."""

    name: str
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]  # by split, then by predictor: "LFADS", the baselines
    per_channel: Mapping[str, Mapping[str, np.ndarray]]  # by split, then by metric; channels in the order of the output file
    costs: Mapping[str, Costs]  # by split
    verdict: Verdict
    baselines: Mapping[str, Mapping[str, float]]  # what each chose on training trials
    lacking: Mapping[str, str]  # why a metric or a baseline has no number
    few_shot: FewShot | None = None
    dimensions: Sequence[str] = ()  # names of the dimensions of behaviour, if the file has any


@dataclass(frozen=True, kw_only=True, eq=False)
class RunReport:
    """All sessions of a run."""

    run: str
    checkpoint: str
    sessions: Sequence[SessionReport]
    cross: CrossSession | None = None
    notes: Sequence[str] = field(default_factory=tuple)  # sentences about all of it

    def plain(self) -> dict[str, Any]:
        """As JSON takes it: NaN and infinity become null."""
        found: dict[str, Any] = _plain(
            {
                "run": self.run,
                "checkpoint": self.checkpoint,
                "sessions": {s.name: {key: value for key, value in _fields(s).items() if key != "name"} for s in self.sessions},
                "cross_session": None if self.cross is None else _fields(self.cross),
                "notes": list(self.notes),
            }
        )
        return found

    def numbers(self) -> dict[str, float]:
        """Scores and costs by one name each, as trackers take them: ``eval/valid/co_bps``, a session's name last if there are several."""
        found: dict[str, float] = {}
        for session in self.sessions:
            suffix = f"/{session.name}" if len(self.sessions) > 1 else ""
            for split, by in session.scores.items():
                for who, scores in by.items():
                    middle = "" if who == MODEL else f"{who}/"
                    found.update({f"eval/{middle}{split}/{name}{suffix}": value for name, value in scores.items()})
            found.update({f"eval/{split}/nll{suffix}": costs.all for split, costs in session.costs.items()})
        return found


def evaluate_run(loaded: LoadedRun, names: Sequence[str] = (), *, shots: int | None = None, say: Callable[[str], None] = lambda _: None) -> RunReport:
    """Score the inferred trials of all sessions, or of those named; nothing is written.

    Raises:
        RunError: a session is unknown, or has no outputs yet.
        DataError: an output file is damaged.
    """
    recorded = recorded_sessions(loaded, names)
    reports = []
    for one in recorded:
        say(f"evaluating {one.name}")
        reports.append(_session(loaded, one, shots))
    notes = [] if names else left_out(loaded, recorded)
    return RunReport(run=loaded.run.name, checkpoint=loaded.checkpoint, sessions=reports, cross=cross_sessions(recorded), notes=notes)


def evaluate_and_keep(
    loaded: LoadedRun, names: Sequence[str] = (), *, shots: int | None = None, say: Callable[[str], None] = lambda _: None
) -> RunReport:
    """:func:`evaluate_run`; of all sessions together the report is written, and plugins hear of it.

    Raises:
        RunError: a session is unknown, or has no outputs yet.
        DataError: an output file is damaged.
    """
    set_threads(loaded.config.train)
    found = evaluate_run(loaded, names, shots=shots, say=say)
    if not names:
        save_report(loaded, found)
        loaded.registry.notify("lfads_run_evaluated", run=loaded.run, config=loaded.config, numbers=found.numbers(), files=[loaded.run.path / FILE])
    return found


def save_report(loaded: LoadedRun, report: RunReport) -> None:
    """Write ``evaluation.json`` into the run's folder.

    Raises:
        RunError: it cannot be written.
    """
    write_json(loaded.run.path / FILE, report.plain())


def _session(loaded: LoadedRun, one: Recorded, shots: int | None) -> SessionReport:
    scores: dict[str, dict[str, dict[str, float]]] = {}
    chosen: dict[str, Mapping[str, float]] = {}
    why_not: dict[str, str] = {}
    for split in one.splits:
        e = one.evaluation(split)
        scores[split] = {MODEL: score_session(e, loaded.registry)}
        for baseline in () if split == "train" else baselines(e):
            if baseline.means is None:
                why_not[baseline.name] = baseline.why_not
            else:
                scores[split][baseline.name] = _score_baseline(loaded, e, baseline)
                chosen[baseline.name] = baseline.chosen
    costs = {split: costs_of(loaded, one, split) for split in one.splits}
    for split in one.splits:
        scores[split][MODEL] |= likelihood_gains(costs[split], one.evaluation(split))
    judged = one.splits[-1] if "valid" not in scores else "valid"
    return SessionReport(
        name=one.name,
        scores=scores,
        per_channel={split: _per_channel(one.evaluation(split)) for split in one.splits},
        costs=costs,
        verdict=judge_fit(costs, scores[judged][MODEL], scores[judged].get(SMOOTHING)),
        baselines=chosen,
        lacking={**lacking(one.evaluation(judged), scores[judged][MODEL]), **why_not},
        few_shot=None if shots is None else few_shot(one, shots, np.random.default_rng(loaded.config.train.seed), judged),
        dimensions=[name for name, _ in dimensions_of(one.session)],
    )


def likelihood_gains(costs: Costs, e: Evaluation) -> dict[str, float]:
    """Gain over constant distributions: ``gain_over_constant`` a value and, of events among zeros, ``bits_per_event``; none of counts."""
    if e.support == "counts" or costs.gain is None:
        return {}
    seen = ~np.isnan(e.data)
    events = int((e.data[seen] > 0).sum())
    sparse = {"bits_per_event": costs.gain * int(seen.sum()) / events / math.log(2)} if e.support == "nonnegative" and events else {}
    return {"gain_over_constant": costs.gain, **sparse}


def _score_baseline(loaded: LoadedRun, e: Evaluation, baseline: Baseline) -> dict[str, float]:
    found = score_session(baseline.evaluation(e), loaded.registry)
    decoding = baseline.decoding(e)
    return found if decoding is None else {**found, **behaviour_metrics(decoding)}


def _per_channel(e: Evaluation) -> dict[str, np.ndarray]:
    """Numbers of single channels: bits per spike, R2 of condition averages, R2 to the truth."""
    found: dict[str, np.ndarray] = {}
    if e.support == "counts" and e.is_rate:
        bins = np.s_[:, : e.encod_bins]
        found["bps"] = np.array([bits_per_spike(e.means[bins][..., [n]], e.data[bins][..., [n]]) for n in range(e.data.shape[2])])
    if (conditions := score_conditions(e)) is not None:
        found[psth_name(e)] = conditions.per_channel
    truth = e.extras.get("truth")
    if truth is not None and truth.shape == e.means.shape and np.isfinite(truth).all():
        found["r2_truth"] = r2_per_channel(e.means, truth)
    return found


def _fields(record: Any) -> dict[str, Any]:
    return {key: getattr(record, key) for key in record.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Costs | Verdict | FewShot):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
