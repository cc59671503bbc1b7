"""What plugins hear of a search: its members as runs, with trackers of their own, its generations, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lfads_core.config.load import resolve_saved
from lfads_core.errors import LfadsError
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_core.track.collect import Trackers, open_member_trackers
from lfads_plugins_tune.search.history import Generation
from lfads_plugins_tune.search.starts import member_folder
from lfads_plugins_tune.search.state import SearchState


class Announcer:
    """Hears the driver, so that it does not matter what trains a member or where. Nothing in it raises."""

    def __init__(self, folder: Path, state: SearchState, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self._members: dict[int, Trackers] = {}
        members = {member.member: member_folder(folder, member.member) for member in state.members}
        registry.notify("lfads_search_started", folder=folder, kind=state.kind, members=members)

    def log(self, member: int, epoch: int, row: Mapping[str, float]) -> None:
        """One epoch of one member; with its first one here, the member has started."""
        run = Run(member_folder(self.folder, member))
        if member not in self._members:
            self._members[member] = self._opened(run, epoch)
            self.registry.notify("lfads_run_started", run=run)
        self._members[member].log(epoch, row)
        self.registry.notify("lfads_epoch_ended", run=run, epoch=epoch, row=dict(row))

    def generation(self, record: Generation) -> None:
        """A generation that is over."""
        self.registry.notify("lfads_generation_ended", folder=self.folder, generation=record)

    def close(self, status: str, best: Run | None) -> None:
        """The end, ``finished``, ``interrupted`` or ``failed``, of every member that was heard and of the search."""
        for member, trackers in self._members.items():
            run = Run(member_folder(self.folder, member))
            self.registry.notify("lfads_run_finished", run=run, status=status)
            trackers.close(status)
        self._members.clear()
        self.registry.notify("lfads_search_finished", folder=self.folder, status=status, best=best)

    def _opened(self, run: Run, epoch: int) -> Trackers:
        try:
            config = resolve_saved(run.config_path, self.registry)
        except LfadsError:  # a member on another machine whose folder is not seen from here: nobody can be told where it is
            return Trackers(None, {})
        return open_member_trackers(run, config, self.registry, first_epoch=epoch)
