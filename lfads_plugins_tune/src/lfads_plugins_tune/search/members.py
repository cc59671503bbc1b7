"""The members of a search that are trained on this machine, alone or several as one batched model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lfads_core.config.schema import RunConfig
from lfads_core.config.trained import trained_by
from lfads_core.config.yaml_io import dump
from lfads_core.errors import LfadsError
from lfads_core.files import expanded, remove_leftovers, write_text
from lfads_core.locks import only_one
from lfads_core.model.build import build_model, build_stacks, prepare_model
from lfads_core.model.description import describe
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import keep_files
from lfads_core.plugins.versions import versions
from lfads_core.runs import Run
from lfads_core.train.auto import resolve_auto
from lfads_core.train.checkpoint import has_checkpoint, remove_checkpoint, tidy
from lfads_core.train.data import check_for, put_on, read_for
from lfads_core.train.device import choose_device, use_cpu
from lfads_core.train.evaluate import EpochResult, score
from lfads_core.train.loop import MemberEnd
from lfads_core.train.shards import shards_of, threads_of, train_in_shards
from lfads_core.train.trainer import Trainer
from lfads_plugins_tune.search.batches import by_batch, settled_parts
from lfads_plugins_tune.search.executor import Outcome, Report, Task
from lfads_plugins_tune.search.member import TrainingMember
from lfads_plugins_tune.search.paths import member_config
from lfads_plugins_tune.search.shape import BatchShape, same_shape, shape_of


class MemberTrainer:
    """Opens members as trainings, trains them, and holds them in memory from one generation to the next.

    ``score`` names the column of ``fitlog.csv`` that members are judged by; a ``-`` before it says that more is better. On
    a CPU ``workers`` train at the same time, each with the threads that the settings say. ``named`` says what the members' ``run.json`` calls
    the data, where that is not what is read here.

    Raises:
        ConfigError, DataError: the settings or the data do not do.
    """

    def __init__(
        self,
        base: RunConfig,
        patterns: Sequence[str | Path],
        registry: Registry,
        *,
        score: str = "valid/recon_smooth",
        workers: int = 1,
        named: Sequence[str] | None = None,
    ) -> None:
        self.registry = registry
        self.column, self.sign = score.removeprefix("-"), -1.0 if score.startswith("-") else 1.0
        sessions = read_for(base, patterns, registry)
        self.base = base = resolve_auto(base, sessions)
        check_for(base, sessions, registry)
        self.device = choose_device(base.train.device)
        self.threads = (workers if self.device == "cpu" else 1) * (base.train.threads or 1)
        use_cpu(self.threads)
        self.description = describe(sessions)
        self.data = put_on(self.device, sessions, build_model(base, self.description, registry).arrays_wanted)
        data = [str(expanded(p).resolve()) for p in patterns] if named is None else list(named)
        self._origin = {"data": data, "versions": versions(registry), "plugins": trained_by(base, registry)}
        self._held: dict[int, TrainingMember] = {}

    def settings(self, task: Task) -> RunConfig:
        """A member's settings in this generation.

        Raises:
            ConfigError: an override is none.
        """
        return member_config(self.base, {**task.overrides, "train.epochs": task.epochs}, self.registry)

    def groups(self, tasks: Sequence[Task], most: int | None = None) -> list[list[Task]]:
        """Tasks that can be trained as one, at most ``most`` together, in order.

        Raises:
            ConfigError: an override is none.
        """
        groups: list[tuple[BatchShape, list[Task]]] = []
        for task in tasks:
            shape = shape_of(self.settings(task))
            fitting = next((group for other, group in groups if other == shape and len(group) != most), None)
            if fitting is None:
                groups.append((shape, [task]))
            else:
                fitting.append(task)
        return [group for _, group in groups]

    def train(self, tasks: Sequence[Task], report: Report, should_stop: Callable[[], bool], most: int | None = None) -> Iterator[Outcome]:
        """Train members of one shape together, at most ``most`` as one batch; an outcome for each, as soon as its batch has ended.

        Raises:
            ConfigError: they are not of one shape.
        """
        if len(tasks) > 1:
            same_shape([self.settings(task) for task in tasks])
        with ExitStack() as locks:
            members: list[TrainingMember] = []
            opened: list[Task] = []
            for task in tasks:
                try:
                    members.append(self._open(task, locks))
                    opened.append(task)
                except (LfadsError, OSError) as err:
                    self._held.pop(task.member, None)
                    yield Outcome(member=task.member, status="failed", score=None, epochs=0, seconds=0.0, error=str(err))

            def on_epoch(position: int, ended: EpochResult) -> None:
                member = members[position]
                row = self._scored(member.trainer, ended)
                member.take(ended.epoch, row)
                report(member.number, ended.epoch, row)

            trainers = [member.trainer for member in members]
            fresh = shards_of(trainers, self.threads, most)
            shards, each = settled_parts(opened, fresh, threads_of(trainers, fresh, self.threads), most)
            ends = train_in_shards(trainers, on_epoch, should_stop, threads=self.threads, shards=shards, each=each)
            yield from by_batch(shards, ((end.member, self._ended(members[end.member], end)) for end in ends))

    def forget(self) -> None:
        """Let go of the members' memory; their folders hold all that is needed to go on."""
        self._held.clear()

    def _open(self, task: Task, locks: ExitStack) -> TrainingMember:
        """A member ready to go on: from memory, from ``start``, from ``last``, or from nothing."""
        config, run = self.settings(task), Run(task.path)
        run.make_folders()
        locks.enter_context(only_one(run.path))
        member = self._held.pop(task.member, None)
        if member is None or task.restart or not member.goes_on_as(config):
            member = self._load(task, run, config)
        member.trainer.allow(task.epochs)
        write_text(run.config_path, dump(config))
        keep_files(run.path)
        run.update_state(status="running", **self._origin)
        return member

    def _load(self, task: Task, run: Run, config: RunConfig) -> TrainingMember:
        """A member from its folder."""
        remove_leftovers(run.path)
        tidy(run.checkpoints)
        model = prepare_model(config, self.data.sessions, self.registry, self.device)
        trainer = Trainer(run, config, model, self.description, self.data, build_stacks(config, self.registry))
        since, start = 0, task.path / "start"
        if not task.restart:
            if has_checkpoint(run.checkpoints, "last"):
                trainer.restore()
        elif has_checkpoint(start, "last"):
            trainer.adopt(start)
            since = trainer.progress.epoch
        else:
            remove_checkpoint(run.checkpoints, "last")
            remove_checkpoint(run.checkpoints, "best")
        return TrainingMember(task.member, trainer, since=since, column=self.column, sign=self.sign)

    def _scored(self, trainer: Trainer, ended: EpochResult) -> dict[str, float]:
        """An epoch's line of the log, with the plugins' metrics if it has predictions."""
        means = ended.validation.means
        found = score(means, self.data.sessions, "valid", trainer.model, self.registry) if means else {}
        return {**ended.row, **{f"valid/{name}": value for name, value in found.items()}}

    def _ended(self, member: TrainingMember, end: MemberEnd) -> Outcome:
        """Say how it ended, here and in ``run.json``; keep it in memory if it can go on."""
        outcome = member.outcome(end)
        going_on = outcome.status in {"done", "interrupted"}
        if going_on:
            self._held[member.number] = member
        member.trainer.run.update_state(status="interrupted" if going_on else "failed", epochs=outcome.epochs)
        return outcome
