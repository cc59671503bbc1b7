"""The queue: so many runs of a collection at a time, until none is left.

Every run is a process of its own (``lfads collection job``), which does not end with the queue. A queue that begins takes over
what another has left running.
"""

from __future__ import annotations

import platform
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from attrs import frozen

from lfads_core.errors import RunError
from lfads_core.locks import TakenError, taking
from lfads_core.processes import own_python
from lfads_core.wording import spoken_size
from lfads_plugins_tune.collection.folder import CollectedRun, Collection, taken
from lfads_plugins_tune.collection.gpus import free_gpu_memory
from lfads_plugins_tune.collection.job import GPU_VARIABLE, begun
from lfads_plugins_tune.collection.state import CollectionState, JobRecord, read_job, standing, state_of, write_job
from lfads_plugins_tune.jobs.local import LocalJob, begin
from lfads_plugins_tune.jobs.memory import free_memory, whole_memory
from lfads_plugins_tune.jobs.running import Jobs

TICK = 0.25
"""Seconds between two looks at the processes."""

SCAN = 2.0
"""Seconds between two looks at the folders, where another command may have added runs, or marked them to be tried again."""

DEFAULT_GRACE = 120.0
"""Seconds that a run has to save when it is asked to stop."""

FRESH = 120.0
"""Seconds after its start in which a run counts with all the GPU memory it asks for, for it may not have taken it yet."""


@frozen(kw_only=True)
class Limits:
    """What a queue may use."""

    jobs: int
    gpus: tuple[str, ...] = ()
    memory: int | None = None  # bytes for each run: free before it starts, and the most it may use
    gpu_memory: int | None = None  # bytes for each run: free on its GPU before it starts
    grace: float = DEFAULT_GRACE  # seconds that a run has to save when it is asked to stop


class Queue:
    """Works through the runs of a collection. ``say`` is told each event; ``asked`` says how often somebody wished an end."""

    def __init__(self, collection: Collection, limits: Limits, names: Sequence[str], say: Callable[[str], None], asked: Callable[[], int]) -> None:
        if limits.memory is not None and limits.memory > whole_memory():
            raise RunError(
                f"--memory: must not be more than there is ({spoken_size(whole_memory())}), got {spoken_size(limits.memory)} for each run."
            )
        if limits.gpu_memory is not None:
            free_gpu_memory(limits.gpus)  # so that a wrong number is told before anything begins
        self.collection, self.limits, self.names, self.say, self.asked = collection, limits, names, say, asked
        self.jobs: Jobs[LocalJob] = Jobs(limits.grace)
        self._tried: set[str] = set()
        self._scanned, self._looked = -SCAN, 0.0
        self._todo: list[CollectedRun] = []
        self._waiting = ""
        self._stopping = False

    def work(self) -> Mapping[str, int]:
        """Run until nothing is left or an end is wished; returns how many runs are in which state."""
        while True:
            self._collect()
            if self.asked():
                self._stop()
                self._todo = []
            else:
                self._scan()
                self._watch()
                self._launch()
            if not self.jobs.running and not self._todo:
                break
            time.sleep(TICK)
        return Counter(standing(entry).status for entry in self._entries())

    def _entries(self) -> list[CollectedRun]:
        return self.collection.chosen(self.names)

    def _scan(self) -> None:
        """Look for runs to begin, and for runs at work that this queue does not know of."""
        if time.monotonic() - self._scanned < SCAN:
            return
        self._scanned = time.monotonic()
        self._todo = []
        for entry in self._entries():
            if entry.name in self.jobs.running:
                continue
            state = standing(entry)
            if state.status == "running":
                self._adopt(entry, state)
            elif state.status in {"ready", "interrupted"} and not self._was_tried(entry, state.job):
                self._todo.append(entry)

    def _was_tried(self, entry: CollectedRun, job: JobRecord | None) -> bool:
        """Whether this queue has begun the run already; once is enough, unless it was marked to be tried again since."""
        return entry.name in self._tried and not (job is not None and job.retry)

    def _adopt(self, entry: CollectedRun, state: CollectionState) -> None:
        job = state.job
        if state.note == "by another command" or job is None or job.host != platform.node() or not job.pid:
            return
        self.jobs.running[entry.name] = LocalJob(pid=job.pid, lock=entry.lock_path, started=job.started, gpu=job.gpu)
        self._tell(f"still at work: {entry.name} (process {job.pid})")

    def _launch(self) -> None:
        while self._todo and len(self.jobs.running) < self.limits.jobs:
            gpu = self._free_gpu()
            short = self._lacks(gpu)
            if short:
                if short != self._waiting:
                    self._tell(f"waiting: {short}")
                self._waiting = short
                return
            self._waiting = ""
            self._begin(self._todo.pop(0), gpu)

    def _lacks(self, gpu: str | None) -> str:
        """What is missing before another run can begin; empty if nothing is."""
        if self.limits.gpus and gpu is None:
            return f"no GPU has {spoken_size(self.limits.gpu_memory)} free" if self.limits.gpu_memory else "every GPU has its share of runs"
        wanted = self.limits.memory
        if wanted is not None:
            promised = sum(max(0, wanted - run.used) for run in self.jobs.running.values())
            if free_memory() - promised < wanted:
                return f"a run is to have {spoken_size(wanted)} of memory, which is not free"
        return ""

    def _free_gpu(self) -> str | None:
        """The GPU with the fewest runs, if one may have another."""
        if not self.limits.gpus:
            return None
        count = Counter(run.gpu for run in self.jobs.running.values())
        share = -(-self.limits.jobs // len(self.limits.gpus))
        open_ones = [gpu for gpu in self.limits.gpus if count[gpu] < share]
        if self.limits.gpu_memory is not None and open_ones:
            free = free_gpu_memory(self.limits.gpus)
            for run in self.jobs.running.values():
                if run.gpu in free and time.time() - run.started < FRESH:
                    free[run.gpu] -= self.limits.gpu_memory
            open_ones = [gpu for gpu in open_ones if free[gpu] >= self.limits.gpu_memory]
        return min(open_ones, key=lambda gpu: count[gpu], default=None)

    def _begin(self, entry: CollectedRun, gpu: str | None) -> None:
        command = job_command(self.collection, entry)
        self._tried.add(entry.name)
        try:
            lock = taking(entry.lock_path, taken(entry))
        except TakenError:
            return  # somebody was quicker
        with lock:
            job = begun(entry, 0, gpu)
            write_job(entry, job)
            process = begin(command, lock, entry.log_path, {} if gpu is None else {GPU_VARIABLE: gpu})
            write_job(entry, replace(job, pid=process.pid))
        self.jobs.running[entry.name] = LocalJob(pid=process.pid, lock=entry.lock_path, process=process, started=job.started, gpu=gpu)
        self._tell(f"started {entry.name} (process {process.pid}{f', gpu {gpu}' if gpu is not None else ''}); {len(self._todo)} to come")

    def _collect(self) -> None:
        """See who has ended, and say how."""
        for name, run, code in self.jobs.ended():
            entry = self.collection.entry(name)
            self._note_end(entry, run, None if run.process is None else code)
            self._scanned = -SCAN
            state = state_of(entry)
            cost = f", validation cost {state.cost:.5g}" if state.cost is not None else ""
            self._tell(f"{state.status}: {name}{cost}{f': {state.note}' if state.note else ''}")

    def _note_end(self, entry: CollectedRun, run: LocalJob, code: int | None) -> None:
        """Complete the record of a process that could not do so itself, unless it was marked for another try meanwhile."""
        job = read_job(entry)
        if job is None or job.pid != run.pid or (job.ended is not None and not run.over):
            return
        killed = None
        if run.over and self.limits.memory is not None:
            allowed = spoken_size(self.limits.memory)
            killed = (
                f"ended by the queue: it used {spoken_size(run.peak)} of memory and may have {allowed} (--memory). Allow more, or make it smaller"
            )
            code = -signal.SIGKILL
        write_job(entry, replace(job, exit=code, ended=time.time(), peak=run.peak or job.peak, killed=killed, retry=False))

    def _watch(self) -> None:
        """Measure what runs use; end those that use more than they may."""
        if time.monotonic() - self._looked < (TICK if self.limits.memory is not None else 5.0):
            return
        self._looked = time.monotonic()
        for run in self.jobs.running.values():
            used = run.measure()
            if self.limits.memory is not None and used > self.limits.memory and not run.over:
                run.over = True
                run.end()

    def _stop(self) -> None:
        """Have every run save and end; at once when it is wished twice."""
        if not self._stopping and self.jobs.running:
            self._tell(f"stopping: {len(self.jobs.running)} runs save and end")
        self._stopping = True
        self.jobs.stop(now=self.asked() > 1)

    def _tell(self, text: str) -> None:
        self.say(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


def job_command(collection: Collection, entry: CollectedRun) -> list[str]:
    """How a run is carried out: by this Python, whatever the command is called."""
    return own_python("-m", "lfads_core.cli.main", "collection", "job", str(collection.path.resolve()), entry.name)
