"""Inference on a trained run: its own data, or a new recording."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import attrs
import numpy as np

from lfads_core.data.checks import check_sessions, require
from lfads_core.data.known import differences
from lfads_core.data.read import find_files
from lfads_core.data.session import KnownData, Session
from lfads_core.errors import DataError, LfadsError, NumericsError, RunError
from lfads_core.files import spoken_failure, written_by
from lfads_core.infer.alignment import alignments_of, distances
from lfads_core.infer.findings import findings, of_alignment, of_expected
from lfads_core.infer.loading import LoadedRun, load
from lfads_core.infer.outputs import write_outputs
from lfads_core.infer.posterior import Inferred, check_samples, infer_batches, joined
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import ReportSpec
from lfads_core.runs import Run
from lfads_core.train.data import read_for, trial_source
from lfads_core.train.evaluate import score
from lfads_core.wording import first_few, shown

log = logging.getLogger(__name__)


def infer_sessions(loaded: LoadedRun, sessions: Sequence[Session], *, samples: int | None, seed: int) -> dict[str, dict[str, Inferred]]:
    """Infer every split of every session and hold it all in memory: by session, then by split.

    Raises:
        DataError: a session is unknown to the model or does not fit it.
    """
    check_fit(loaded, sessions)
    return {s.name: {split: joined(list(_parts(loaded, s, split, samples, seed))) for split in s.splits} for s in sessions}


def _parts(loaded: LoadedRun, session: Session, split: str, samples: int | None, seed: int) -> Iterator[Inferred]:
    """One split of one session, some trials at a time in their order."""
    source = {session.name: trial_source(session, split, loaded.model.device)}
    how = loaded.config.infer
    found = infer_batches(
        loaded.model, loaded.infer_stack, source, samples=samples, batch_size=how.batch_size, seed=seed, distribution=how.distribution
    )
    return (_finite(loaded, session.name, split, part[session.name]) for part in found)


def _finite(loaded: LoadedRun, session: str, split: str, part: Inferred) -> Inferred:
    """The same trials, unless a value of theirs is NaN or infinite: missing data are never the reason, which the encoders do not see.

    Raises:
        NumericsError: one is.
    """
    for name, values in part.arrays().items():
        if not np.isfinite(values).all():
            broken = [weight for weight, value in loaded.model.named_parameters() if not value.isfinite().all()]
            why = f"The weights of the checkpoint '{loaded.checkpoint}' are not: {first_few(broken, 3)}" if broken else "The weights are"
            raise NumericsError(
                f"{loaded.run.path}: '{name}' inferred for the {split} trials of {session} must be finite, got NaN or infinity. {why}. "
                "Take another checkpoint (--checkpoint), or train again."
            )
    return part


def infer_to_file(loaded: LoadedRun, session: Session, path: Path, *, samples: int | None, seed: int) -> dict[str, np.ndarray]:
    """Infer a session part by part into its output file; returns each split's expected values, of stored splits those of the sample.

    Raises:
        RunError: the file cannot be written.
        ConfigError: more samples are asked for than can be.
    """
    if samples is not None:
        check_samples(samples)
    kept: dict[str, list[np.ndarray]] = {split: [] for split in session.splits}

    def kept_parts(split: str) -> Iterator[Inferred]:
        first = 0
        for part in _parts(loaded, session, split, samples, seed):
            rows = np.arange(first, first + len(part.factors))
            first += len(rows)
            kept[split].append(part.output_params[np.isin(rows, session.stored[split].sample)] if session.stored else part.output_params)
            yield part

    parts = {split: kept_parts(split) for split in session.splits}
    is_rate = loaded.model.reconstructions[session.name].is_rate
    write_outputs(path, session, parts, samples=samples, is_rate=is_rate, checkpoint=loaded.checkpoint)
    return {split: np.concatenate(several) for split, several in kept.items()}


def finish(run: Run, sessions: Sequence[Session], registry: Registry, say: Callable[[str], None], *, device: str) -> dict[str, float]:
    """What follows a training: posterior averages of all splits, output files, scores, figures (``infer.figures``); returns the scores.

    Raises:
        RunError: an output file cannot be written.
    """
    loaded = load(run.path, registry=registry, device=device)
    samples = loaded.default_samples
    say(f"inferring with the {loaded.checkpoint} checkpoint, {'posterior means' if samples is None else f'{samples} posterior samples'}")
    check_fit(loaded, sessions)
    means = {s.name: infer_to_file(loaded, s, run.output(s.name), samples=samples, seed=loaded.config.train.seed) for s in sessions}
    scores = score_all(loaded, sessions, means)
    found = findings(run, loaded.config, scores)
    if far := [text for session in sessions if (text := of_expected(session, means[session.name]))]:
        found["beyond_the_data"] = " ".join(far)
    found |= say_alignment(run, loaded, sessions, say)
    run.update_state(findings=found)
    for text in found.values():
        say(f"look: {text}")
    if loaded.config.infer.figures:
        draw_reports(run, registry, say)
    return scores


def say_alignment(run: Run, loaded: LoadedRun, sessions: Sequence[Session], say: Callable[[str], None]) -> dict[str, str]:
    """Measure how far aligned sessions are from those they follow, keep it in ``run.json`` and say it; returns sentences on those that are far."""
    parts = {name: part for name, part in alignments_of(loaded.model).items() if name in {session.name for session in sessions}}
    if not parts:
        return {}
    known = run.read_state().get("alignment")
    if known is None or not parts.keys() <= known["before"].keys() & known["within"].keys():
        which = first_few(list(parts), 5)
        raise RunError(f"{run.state_path}: 'alignment' must hold distances of {which}, got {shown(known)}. Restore it, or adapt again.")
    left = distances(loaded.model, loaded.config, loaded.infer_stack, sessions)
    run.update_state(alignment={**known, "left": left})
    followed = first_few(known["to"], 3)
    for name, after in left.items():
        say(f"{name}: {known['name']} distance from {followed} {after:.3g}, before {known['before'][name]:.3g}, within {known['within'][name]:.3g}")
    return of_alignment(followed, known["within"], left)


def score_all(loaded: LoadedRun, sessions: Sequence[Session], inferred: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Metrics of every split from expected values by session and split, named ``<split>/<metric>``."""
    scores: dict[str, float] = {}
    for split in ("train", "valid", "test"):
        means = {name: of[split] for name, of in inferred.items() if split in of}
        if means:
            train = {name: of["train"] for name, of in inferred.items() if "train" in of} if split != "train" else None
            found = score(means, sessions, split, loaded.model, loaded.registry, train_means=train)
            scores.update({f"{split}/{name}": value for name, value in found.items()})
    return scores


def draw_reports(run: Run, registry: Registry, say: Callable[[str], None]) -> list[Path]:
    """Let every report plugin draw; one that fails is named once and costs nothing else."""
    run.refuse_links()
    with spoken_failure(run.plots):
        run.plots.mkdir(exist_ok=True)
    written: list[Path] = []
    for spec in registry.all(ReportSpec):
        written += registry.shield(ReportSpec, spec.name, partial(_render, spec, run)) or []
    if written:
        say(f"{len(written)} figures in {run.plots}")
    return written


def _render(spec: ReportSpec, run: Run) -> list[Path]:
    written = written_by(spec.render(run, run.plots))
    for path in written:
        if run.plots.resolve() not in path.resolve().parents:
            raise ValueError(f"must write below {run.plots}, but wrote {path}")
    return written


def infer_files(
    loaded: LoadedRun, patterns: Sequence[str | Path] | None, *, samples: int | None, output: Path | None, distribution: bool = False
) -> list[Path]:
    """Infer recordings of sessions the model knows and write their output files; returns the files.

    ``patterns`` None takes the run's own data. New files may hold any of the splits; one session may go by any name when the
    model knows only one. Their outputs stand in the run's folder under the file's name unless ``output`` says where. ``distribution`` adds the
    parameters of the data's distribution, whatever the run's settings say.

    Raises:
        DataError: files that cannot be read, or do not fit the model.
        RunError: an output file cannot be written, or would take the place of data or of the run's own outputs.
    """
    if distribution:
        loaded = replace(loaded, config=attrs.evolve(loaded.config, infer=attrs.evolve(loaded.config.infer, distribution=True)))
    sessions, files = _known_sessions(loaded, patterns)
    several = len(sessions) > 1
    paths = {s.name: _output_path(loaded.run, s, files[s.name], output, several=several) for s in sessions}
    check_fit(loaded, sessions)
    for session in sessions:
        means = infer_to_file(loaded, session, paths[session.name], samples=samples, seed=loaded.config.train.seed)
        if text := of_expected(session, means):
            log.warning("look: %s", text)
    return [paths[session.name] for session in sessions]


def sessions_for(loaded: LoadedRun, patterns: Sequence[str | Path] | None, *, required: Collection[str] | None = None) -> list[Session]:
    """Recordings of sessions the model knows, with the splits that are ``required``; ``patterns`` None takes the run's own data.

    Raises:
        DataError: files that cannot be read, or do not fit the model.
    """
    sessions = _known_sessions(loaded, patterns, required)[0]
    check_fit(loaded, sessions)
    return sessions


def _known_sessions(
    loaded: LoadedRun, patterns: Sequence[str | Path] | None, required: Collection[str] | None = None
) -> tuple[list[Session], dict[str, str]]:
    """Sessions under the names the model knows them by, and by these the names of their files."""
    wanted = list(patterns) if patterns else loaded.run.data
    required = (("train", "valid") if patterns is None else ()) if required is None else required
    sessions = read_for(loaded.config, wanted, loaded.registry, required=required, trained=loaded.description.known)
    files = {session.name: session.name for session in sessions}
    known = [s.name for s in loaded.description.sessions]
    if len(known) == 1 and len(sessions) == 1:  # a single file for a single-session model is that session, whatever its name
        files = {known[0]: sessions[0].name}
        sessions = [replace(sessions[0], name=known[0])]
    own = _own_files(loaded.run)
    for session in sessions:
        trained = loaded.description.known.get(session.name)
        if trained is not None and session.known is not None and session.path is not None and session.path.resolve() in own:
            say_other_contents(session.path, trained, session.known)
    require_readable(loaded, sessions)
    return sessions, files


def require_readable(loaded: LoadedRun, sessions: Sequence[Session]) -> None:
    """Look at every value, as before a training.

    Raises:
        DataError: values that the model cannot take, one line for each fault.
    """
    observing = any(part.observes_missing for part in loaded.infer_stack.batch_order)
    support = next(iter(loaded.model.reconstructions.values())).support
    require(check_sessions(sessions, support=support, observes_missing=observing, external=loaded.description.external))


def say_other_contents(path: Path, trained: KnownData, given: KnownData) -> None:
    """Warn that a recording of a run's own is no longer what the model was trained on."""
    contents = [text for text in differences(trained, given) if text.startswith("other contents")]
    if contents:
        log.warning("%s: is no longer what the model was trained on: %s. What follows is of what it holds now.", path, contents[0])


def _output_path(run: Run, session: Session, name: str, output: Path | None, *, several: bool) -> Path:
    """Where a session's outputs go; ``name`` is that of its file.

    Raises:
        RunError: the place is taken by something that must not be lost.
    """
    if output is None:
        path = run.output(name)
        if path.exists() and session.path is not None and session.path.resolve() not in _own_files(run):
            raise RunError(f"{path}: holds outputs of the run's own data, which those of {session.path} would replace. Say where to write with -o.")
        return path
    path = output / f"lfads_output_{name}.h5" if several or output.is_dir() else output
    if session.path is not None and path.resolve() == session.path.resolve():
        raise RunError(f"{path}: outputs must go to a file of their own, got the recording itself. Choose another name for -o.")
    return path


def _own_files(run: Run) -> set[Path]:
    """The recordings the run was trained on, as far as they are still there."""
    try:
        return {path.resolve() for path in find_files(run.data)}
    except LfadsError:
        return set()


def check_fit(loaded: LoadedRun, sessions: Sequence[Session]) -> None:
    """Every session must have the sizes the model was trained with."""
    trained = {s.name: s for s in loaded.description.sessions}
    want = loaded.description
    for session in sessions:
        where = session.path or session.name
        if session.name not in trained:
            raise DataError(
                f"{where}: the session must be one the model knows ({', '.join(sorted(trained))}), got {session.name!r}. Rename the file."
            )
        for split, data in session.splits.items():
            got = (data.encod.shape[1:], data.recon.shape[1:], data.external.shape[2])
            known = trained[session.name]
            must = ((want.encoded_bins, known.encod_channels), (want.bins, known.recon_channels), want.external)
            if got != must:
                raise DataError(
                    f"{where}: '{split}' must have encoded (bins, channels), reconstructed (bins, channels) and external inputs {must} "
                    f"as in training, got {got}. Cut and bin it like the training data."
                )
