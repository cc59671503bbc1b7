"""The best member, copied out as an ordinary run folder, inferred, scored and drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.config.trained import trained_by
from lfads_core.config.yaml_io import dump
from lfads_core.data.session import Session
from lfads_core.errors import LfadsError, RunError
from lfads_core.files import spoken_failure, write_text
from lfads_core.infer.run import finish
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import keep_files
from lfads_core.runs import Run
from lfads_core.track.fitlog import FitLog, read_fitlog
from lfads_core.train.device import choose_device
from lfads_core.train.threads import set_threads
from lfads_plugins_tune.search.paths import member_config
from lfads_plugins_tune.search.starts import copy_checkpoints, member_folder
from lfads_plugins_tune.search.state import Best, SearchState
from lfads_plugins_tune.search.table import lineage

FOLDER = "best"


def find_best(folder: Path, state: SearchState) -> Best:
    """The member whose best checkpoint has the least cost, or, by a metric or where no member has one yet, whose last score is least.

    Of several with one cost, which is that of a common ancestor, the one with the least last score.

    Raises:
        RunError: no member has a score.
    """
    last = {m.member: m.score for m in state.members if m.score is not None}
    for generation in state.history:
        last = {**{r.member: r.score for r in generation.members if r.score is not None}, **last}
    standing = {m.member for m in state.members if m.status not in {"diverged", "failed", "lost"}}
    ranked: list[tuple[float, float, int]] = []
    for member in sorted(standing & last.keys()):
        cost = None if state.score.startswith("-") else _best_cost(folder, member)
        ranked.append((last[member] if cost is None else cost, last[member], member))
    if not ranked:
        raise RunError(f"{folder}: a member must have a score to be the best, but none has. `lfads search status {folder}` says why.")
    cost, _, member = min(ranked)
    return Best(member=member, score=cost, scores={})


def copy_out(folder: Path, state: SearchState, base: RunConfig, registry: Registry, best: Best) -> Run:
    """Make ``best/`` a run folder of its own: settings, checkpoints, and a log that follows the weights back through every exploit.

    Raises:
        RunError: it cannot be written.
    """
    run, source = Run(folder / FOLDER), Run(member_folder(folder, best.member))
    values = next(m.values for m in state.members if m.member == best.member)
    overrides = {**values, "train.epochs": state.targets[-1]}
    if "train.seed" not in values:
        overrides["train.seed"] = base.train.seed + best.member
    if state.score.startswith("-"):  # judged by its last weights, so these are what is inferred
        overrides["infer.checkpoint"] = "last"
    run.refuse_links()
    with spoken_failure(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
        copy_checkpoints(source.checkpoints, run.checkpoints)
        run.fitlog.unlink(missing_ok=True)
        _write_log(folder, state, best.member, run.fitlog)
    write_text(run.config_path, dump(member_config(base, overrides, registry)))
    keep_files(run.path)
    run.update_state(
        status="interrupted",
        data=list(state.data),
        versions=dict(state.versions),
        plugins=trained_by(base, registry),
        search={"folder": str(folder.resolve()), "member": best.member, "score": best.score},
    )
    return run


def infer_best(run: Run, sessions: Sequence[Session], registry: Registry, say: Callable[[str], None], *, tries: int) -> dict[str, float]:
    """Infer, score and draw it; one that fails is tried again.

    Raises:
        RunError: it failed every time.
    """
    from lfads_core.config.load import resolve_saved

    config = resolve_saved(run.config_path, registry)
    set_threads(config.train)
    for left in reversed(range(tries)):
        try:
            scores = finish(run, sessions, registry, say, device=choose_device(config.train.device))
        except (Exception, SystemExit) as err:
            why = str(err).splitlines()[0] if str(err) else type(err).__name__
            if left:
                say(f"warning: the best member could not be inferred ({why}); trying again")
                continue
            what = why if isinstance(err, LfadsError) else f"{type(err).__name__}: {why}"
            raise RunError(
                f"{run.path}: the best member must be inferred, got: {what} Mend it, then `lfads search retry {run.path.parent}`."
            ) from err
        run.update_state(status="finished", scores=scores)
        return scores
    return {}


def _best_cost(folder: Path, member: int) -> float | None:
    """Least smoothed cost of the epochs after the ramps, as the checkpoint ``best`` of a member says it."""
    best = Run(member_folder(folder, member)).read_best()
    return None if best is None else best.cost


def _write_log(folder: Path, state: SearchState, member: int, path: Path) -> None:
    whole = folder / "fitlog.csv"
    if not whole.is_file():
        return
    table, way, log = read_fitlog(whole), lineage(state.history, member), FitLog(path)
    rows = [
        (int(epoch), {name: column[i] for name, column in table.items() if name != "epoch" and not math.isnan(column[i])})
        for i, epoch in enumerate(table["epoch"])
        if way.get(int(table["generation"][i])) == int(table["member"][i])
    ]
    for epoch, row in sorted(rows, key=lambda row: row[0]):
        log.append(epoch, row)
