"""A population on a CPU: members have nothing to say to each other, so threads train them a few at a time, as many as the cache holds."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lfads_core.train.device import use_cpu
from lfads_core.train.evaluate import EpochResult
from lfads_core.train.loop import MemberEnd, train_members
from lfads_core.train.trainer import Trainer

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_CACHE = 16 * 2**20
"""Bytes of a processor's last cache, where the system does not say."""


Waiting = queue.SimpleQueue[Sequence[int] | None]
"""Shards that nobody trains yet, and None for each thread at the end."""
Said = queue.SimpleQueue[MemberEnd | BaseException | None]
"""What threads say: how a member ended, what they had to raise, and None when they have done their last shard."""


def train_in_shards(
    trainers: Sequence[Trainer],
    on_epoch: Callable[[int, EpochResult], None],
    should_stop: Callable[[], bool],
    *,
    threads: int,
    shards: Sequence[Sequence[int]] | None = None,
    each: int | None = None,
) -> Iterator[MemberEnd]:
    """Do what :func:`~lfads_core.train.loop.train_members` does, on so many CPU threads: each trains one shard after another.

    Numbers depend neither on ``threads`` nor on the ``shards`` (None: :func:`shards_of`), to rounding; to the bit they are those of
    the same shards, each trained with the same number of threads (``each``; None: what there is for one). ``on_epoch`` is called by
    one thread at a time.

    Raises:
        RunError: a checkpoint cannot be written; the others stop before their next step, and their checkpoints are kept.
    """
    shards = shards_of(trainers, threads) if shards is None else shards
    each = threads_of(trainers, shards, threads) if each is None else min(each, threads)
    if len(shards) < 2:
        torch.set_num_threads(each)
        try:
            yield from train_members(trainers, on_epoch, should_stop)
        finally:
            torch.set_num_threads(threads)
        return
    on_cpu = trainers[0].model.device.type == "cpu"
    team, enough, one_at_a_time = min(threads // each, len(shards)) if on_cpu else 1, threading.Event(), threading.Lock()
    waiting, said = Waiting(), Said()
    for shard in (*shards, *[None] * team):
        waiting.put(shard)

    def report(member: int, epoch: EpochResult) -> None:
        with one_at_a_time:
            on_epoch(member, epoch)

    def stop() -> bool:
        if should_stop():
            enough.set()
        return enough.is_set()

    def train(shard: Sequence[int]) -> None:
        mine = [trainers[i] for i in shard]
        for end in train_members(mine, lambda i, epoch: report(shard[i], epoch), stop, beside=team):
            said.put(replace(end, member=shard[end.member]))

    workers = [threading.Thread(target=_work, args=(train, waiting, said, each), name=f"members {number}") for number in range(team)]
    try:
        for worker in workers:
            worker.start()
        yield from _until_all_are_done(said, team, enough)
    finally:
        enough.set()
        for worker in workers:
            worker.join()
        use_cpu(threads)


def shards_of(trainers: Sequence[Trainer], threads: int, most: int | None = None) -> list[list[int]]:
    """Positions of those that are trained together, never more than ``most``: on a CPU as many as the threads' shares of its cache hold, or one.

    A GPU holds everybody's step at once: there is one shard, or as many as it takes for none to have more than ``most`` members.

    What a step keeps for its way back is written once and read once. In the cache that is free; in memory it is what threads wait for,
    and a larger batch cannot make up for it, for members of a population share no weights.
    """
    count, size, shards = len(trainers), most or len(trainers), 1
    if count > 1 and trainers[0].model.device.type == "cpu":
        size = max(1, min(size, last_cache() // threads // max(map(bytes_kept, trainers))))
        shards = min(threads, count)
    shards = max(shards, -(-count // max(size, 1)))
    return [list(range(first, count, shards)) for first in range(shards)]


def threads_of(trainers: Sequence[Trainer], shards: Sequence[Sequence[int]], threads: int) -> int:
    """Threads that each shard has, of so many for all: on a CPU shards are trained side by side, on a GPU one after another."""
    on_cpu = bool(trainers) and trainers[0].model.device.type == "cpu"
    return threads // min(threads, max(len(shards), 1)) if on_cpu else threads


def bytes_kept(trainer: Trainer) -> int:
    """About what a step keeps of one member: gates and states of each loop, what they read, and rates."""
    model, config = trainer.model, trainer.config.model
    control, sizes = config.controller, model.sizes
    bins = 2 * sizes.encoded_bins * 4 * config.encoder.hidden + sizes.bins * 5 * config.generator.hidden
    if control is not None:
        bins += 2 * sizes.encoded_bins * 4 * control.encoder_hidden + sizes.bins * (6 * control.encoder_hidden + 4 * control.hidden)
    bins += sizes.bins * 3 * (sizes.encoder_width + config.generator.factors)
    return 4 * trainer.batch_size * bins


def last_cache() -> int:
    """Bytes of the largest cache of this processor."""
    sizes = [path.read_text().strip() for path in CACHES.glob("index*/size")]
    return max((int(size[:-1]) * 2 ** (10 if size[-1] == "K" else 20) for size in sizes), default=USUAL_CACHE)


def _work(train: Callable[[Sequence[int]], None], waiting: Waiting, said: Said, threads: int) -> None:
    """One thread: train shard after shard until there is none, and say so."""
    use_cpu(threads)
    try:
        while (shard := waiting.get()) is not None:
            train(shard)
    except BaseException as err:  # noqa: BLE001 - it is raised where it can be heard
        said.put(err)
    said.put(None)


def _until_all_are_done(said: Said, working: int, enough: threading.Event) -> Iterator[MemberEnd]:
    """How members ended, as soon as it is known. What a thread raised is raised once the others have stopped."""
    raised: BaseException | None = None
    while working:
        word = said.get()
        if word is None:
            working -= 1
        elif isinstance(word, BaseException):
            raised = raised or word
            enough.set()
        else:
            yield word
    if raised is not None:
        raise raised
