"""A trained run as an object: what ``lf.run`` and ``lf.load`` give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lfads_core.errors import DataError, LfadsError, RunError
from lfads_core.front.brought import as_count, as_one, as_overrides, as_path, brought
from lfads_core.front.plots import RunPlots
from lfads_core.front.recording import Recording, Recordings, placed
from lfads_core.front.training import Settings, name_of, name_recordings, watched, with_folder
from lfads_core.front.words import said_in_python
from lfads_core.infer.loading import LoadedRun
from lfads_core.infer.run import infer_files
from lfads_core.pipeline.adapt import adapt_run
from lfads_core.pipeline.run import resume_run
from lfads_core.plugins import FunctionSpec
from lfads_core.runs import Run, checked_name
from lfads_core.wording import shown

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun(LoadedRun):
    """A trained model with its rates, tables and figures. Arrays are labelled, trials and channels in the recording's own order.

    Of several sessions one is chosen by ``run.of(name)``. Further methods may come from plugins (``lfads_functions``).
    """

    chosen: str | None = None  # the session that arrays and figures are of; None: the only one

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.path

    @property
    def sessions(self) -> list[str]:
        """Names of the sessions that the model knows."""
        return [info.name for info in self.description.sessions]

    @property
    def session(self) -> str:
        """Name of the session that arrays and figures are of.

        Raises:
            RunError: there are several, and none was chosen.
        """
        if self.chosen is None and len(self.sessions) > 1:
            raise RunError(f"{self.path}: which session must be said, such as run.of({self.sessions[0]!r}), got none of {', '.join(self.sessions)}.")
        return self.chosen or self.sessions[0]

    def of(self, session: str) -> TrainedRun:
        """The same run, of whose sessions this one is meant.

        Raises:
            RunError: it knows no such session.
        """
        if not isinstance(session, str) or session not in self.sessions:
            raise RunError(f"{self.path}: must know the session {shown(session)}, got {', '.join(self.sessions)}. Name one of these.")
        return replace(self, chosen=session)

    @property
    def results(self) -> xr.Dataset:
        """Everything below in one Dataset."""
        self.ensure_inferred()
        found: xr.Dataset = self._brought("results")(self.run.output(self.session))
        return found

    @property
    def rates(self) -> xr.DataArray:
        """Inferred rates (trial, time, unit), in events per second where bins have a width and data are counts, else in the data's unit."""
        return self.results["rates"]

    @property
    def factors(self) -> xr.DataArray:
        """Latent factors (trial, time, factor)."""
        return self.results["factors"]

    @property
    def inputs(self) -> xr.DataArray:
        """Inferred inputs (trial, time, input), posterior means; none without a controller."""
        return self.results["inputs"]

    @property
    def initial_conditions(self) -> xr.DataArray:
        """Posterior means of the initial condition (trial, dimension)."""
        return self.results["initial_conditions"]

    @property
    def log(self) -> pd.DataFrame:
        """Costs, scores and ramps of ``fitlog.csv``, a row for each epoch."""
        table: pd.DataFrame = self._brought("log")(self)
        return table

    @property
    def plot(self) -> RunPlots:
        """Figures such as ``run.plot.trials()``."""
        return RunPlots(self)

    @said_in_python
    def evaluate(self, *, few_shot: int | None = None) -> pd.DataFrame:
        """Scores of the model and of baselines, by session, split and predictor, as ``lfads eval`` finds them; kept in ``evaluation.json``."""
        few_shot = None if few_shot is None else as_count("few_shot", few_shot)
        self.ensure_inferred()
        table: pd.DataFrame = self._brought("evaluate")(self, few_shot=few_shot)
        return table

    @said_in_python
    def compare(self, *others: LoadedRun | str | Path) -> pd.DataFrame:
        """This run beside others, a row each: settings that differ, scores, epochs, time, as ``lfads compare`` has them."""
        table: pd.DataFrame = self._brought("compare")(self, *others)
        return table

    @said_in_python
    def infer(self, recording: Recording | str | Path, *, samples: int | None = None, distribution: bool = False) -> xr.Dataset:
        """Infer trials that the model was not trained on, of a session that it knows; the file is kept in ``inferred``.

        A model of one session takes a recording of any name. ``samples`` of the posterior are averaged, as many as the settings say by default.
        ``distribution`` adds the parameters of each channel's distribution in each bin, such as shape and rate of a gamma.

        Raises:
            DataError: the recording does not fit the model.
        """
        samples = None if samples is None else as_count("samples", samples)
        name = name_of(recording)
        with TemporaryDirectory(prefix="lfads-") as folder:  # the file that is written holds the data too
            sources = placed(recording, Path(folder))
            try:
                kept, count = self.path / "inferred" / f"{name}.h5", samples or self.default_samples
                written = infer_files(self, sources, samples=count, output=kept, distribution=as_one("distribution", bool, distribution))
            except LfadsError as err:
                name_recordings(err, Path(folder))
                raise
        if len(written) > 1:
            raise DataError(f"recording: must be one session, got {len(written)}. Infer them one by one.")
        found: xr.Dataset = self._brought("results")(written[0])
        return found

    @said_in_python
    def generate(self, trials: int, *, seed: int = 0) -> xr.Dataset:
        """Sample new trials from the prior: factors, rates and data, labelled.

        Raises:
            ConfigError: ``trials`` is no whole number above 0, or ``seed`` none from 0 upwards.
        """
        found: xr.Dataset = self._brought("generate")(self, as_count("trials", trials), as_count("seed", seed, 0))
        return found

    @said_in_python
    def adapt(
        self,
        recording: Recordings,
        *,
        align: str | None = None,
        settings: Settings | None = None,
        epochs: int | None = None,
        minutes: float | None = None,
        name: str | None = None,
        progress: bool = True,
    ) -> TrainedRun:
        """Add sessions to the model, everything it has learnt left as it is; a run of its own beside this one. See ``lfads adapt``.

        ``align="nomad"`` follows a recording that drifts: its latents are kept where those of the old sessions are, without labels.

        Raises:
            ConfigError, DataError: the model takes no further sessions, or these do not fit it.
        """
        overrides = as_overrides(settings, train__epochs=epochs, train__minutes=minutes)
        called = f"{self.run.name}-{name_of(recording)}" if name is None else checked_name(name)

        with with_folder(self.path.parent / called, name is None, recording) as (folder, data):
            return as_trained(
                watched(Run(folder), lambda display: adapt_run(self, data, overrides, display, folder, align=align), self.registry, progress=progress)
            )

    @said_in_python
    def resume(
        self, *, settings: Settings | None = None, epochs: int | None = None, minutes: float | None = None, progress: bool = True
    ) -> TrainedRun:
        """Go on with a run that was interrupted, or train a finished one for longer, bit by bit as if it had never stopped.

        Raises:
            RunError: a setting that the weights depend on has changed.
        """
        overrides = as_overrides(settings, train__epochs=epochs, train__minutes=minutes)
        return as_trained(
            watched(self.run, lambda display: resume_run(self.path, overrides, self.registry, display), self.registry, progress=progress)
        )

    @said_in_python
    def report(self, path: str | Path | None = None) -> Path:
        """Make one HTML page on the run, ``report.html`` in its folder by default; returns the file."""
        self.ensure_inferred()
        written: Path = self._brought("report")(self, None if path is None else as_path("path", path))
        return written

    @said_in_python
    def to_nwb(self, path: str | Path, *, source: str | Path | None = None, subject: Mapping[str, str] | None = None) -> Path:
        """Write rates, factors and inputs into an NWB file, beside all that ``source`` holds: by default the NWB file the recording was made of.

        Without a source the file holds the trials and what was inferred, and ``subject`` says of whom (``subject_id``, ``species``, ``sex``, ``age``
        and whatever else NWB has). Each bin stands at its middle, on the session's own clock.

        Raises:
            DataError: it is not known when trials began, or they share time.
        """
        self.ensure_inferred()
        written: Path = self._brought("to-nwb")(self, as_path("path", path), None if source is None else as_path("source", source), subject)
        return written

    @said_in_python
    def to_pynapple(self) -> dict[str, Any]:
        """``rates``, ``factors`` and ``inputs`` as ``TsdFrame`` on the session's own clock, and ``trials`` as ``IntervalSet``.

        Raises:
            DataError: it is not known when trials began, or they share time.
        """
        self.ensure_inferred()
        found: dict[str, Any] = self._brought("to-pynapple")(self)
        return found

    def ensure_inferred(self) -> None:
        """Infer the run's own data where that was not done, as after an interruption."""
        if not self.run.output(self.session if self.chosen else self.sessions[0]).is_file():
            infer_files(self, None, samples=self.default_samples, output=None)

    def _brought(self, name: str) -> Callable[..., Any]:
        return brought(f"run-{name}", self.registry)

    def __getattr__(self, name: str) -> Any:
        """A method that a plugin offers."""
        if not name.startswith("_"):
            wanted = f"run-{name.replace('_', '-')}"
            for spec in self.registry.all(FunctionSpec):
                if spec.name == wanted:
                    return lambda *args, **kwargs: spec.call(self, *args, **kwargs)
        raise AttributeError(f"a run has no {name!r}, and no plugin offers 'run-{name}'", name=name, obj=self)

    def __repr__(self) -> str:
        """One line."""
        scores = (self.run.read_state().get("scores") or {}) if self.run.state_path.is_file() else {}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if name in ("valid/bps", "valid/co_bps", "valid/r2"))
        return f"<Run {self.run.name!r}: {', '.join(self.sessions)}; the {self.checkpoint} checkpoint{'; ' if shown else ''}{shown}>"


def as_trained(loaded: LoadedRun) -> TrainedRun:
    """The same run with everything that a notebook wants of it."""
    return TrainedRun(**{field.name: getattr(loaded, field.name) for field in fields(LoadedRun)})
