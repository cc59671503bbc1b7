"""One training's checkpoints on their way to the disk: copied between two steps, written by a thread while training goes on.

A thread writes one moment of the training as a whole: epochs that are kept, then ``best``, then ``last``, then it removes what is kept no longer.
Killed at any moment, a training so finds all that its ``last`` names, as if it had waited. It does wait before the next moment is written, before it
reads a checkpoint or removes one, and at its end; what could not be written is raised there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from lfads_core.train.checkpoint import Checkpoint, epoch_name, load_checkpoint, remove_checkpoint, save_checkpoint
from lfads_core.train.top_k import BestSoFar, TopK, TopKCheckpoints

log = logging.getLogger(__name__)


class Keeper:
    """Holds good epochs until they are written, and writes."""

    def __init__(self, folder: Path, judge: str) -> None:
        self.folder, self.judge = folder, judge
        self.top_k = TopKCheckpoints(folder)
        self.best: Checkpoint | None = None  # one that is not on disk yet
        self._thread: threading.Thread | None = None
        self._raised: BaseException | None = None

    def hold(self, epoch: int, good: Checkpoint, kept: TopK, *, is_best: bool) -> None:
        """Remember an epoch that is the best so far, or among the best, until :meth:`save`."""
        self.best = good if is_best else self.best
        self.top_k.add(epoch, good, kept)

    def save(self, last: Checkpoint | None, kept: TopK) -> None:
        """Begin to write what is held, and ``last`` if it is given; ``kept`` are the best epochs by then.

        Raises:
            RunError: what was to be written before could not be.
        """
        self.wait()
        best, self.best = self.best, None
        given = self.top_k.take(), best, last, TopK(kept.most, kept.costs)
        self._thread = threading.Thread(target=self._write, args=given, name="lfads-write")
        self._thread.start()

    def wait(self) -> None:
        """Return once everything is on disk.

        Raises:
            RunError: it cannot be written; what was there before still stands.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def end(self) -> None:
        """The same where something else is being raised, which must not be hidden: what could not be written is a warning."""
        try:
            self.wait()
        except Exception as err:  # noqa: BLE001 - whatever hinders the writing
            log.warning("%s", err)

    def forget(self, kept: TopK) -> None:
        """No epoch so far is good any longer.

        Raises:
            RunError: what was to be written before could not be.
        """
        self.wait()
        self.best = None
        self.top_k.forget(kept)
        remove_checkpoint(self.folder, "best")

    def take_up(self, folder: Path, kept: TopK, record: BestSoFar) -> None:
        """Go on with the good epochs that a ``last`` just read from ``folder`` names.

        Raises:
            RunError: a checkpoint is damaged.
        """
        self.best = None
        self.top_k.take_up(folder, kept, record)

    def adopt_best(self, folder: Path) -> None:
        """Take the ``best`` of another folder over.

        Raises:
            RunError: it is damaged.
        """
        self.best = load_checkpoint(folder, "best")

    def _write(self, epochs: Mapping[int, Checkpoint], best: Checkpoint | None, last: Checkpoint | None, kept: TopK) -> None:
        try:
            for epoch, checkpoint in epochs.items():
                save_checkpoint(self.folder, epoch_name(epoch), checkpoint)
            for which, one in (("best", best), ("last", last)):
                if one is not None:
                    save_checkpoint(self.folder, which, one)
            self.top_k.finish(kept, self.judge)
        except BaseException as err:  # noqa: BLE001 - it is raised where it can be heard
            self._raised = err
