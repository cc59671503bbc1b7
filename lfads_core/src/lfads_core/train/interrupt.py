"""Ctrl-C and SIGTERM become a wish to stop; the second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """Set by a signal, asked between steps."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.asked

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Remember the first signal; make the second one an interrupt."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Listen for signals while the block runs; outside the main thread nothing can be heard."""
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    old = {number: signal.signal(number, wish.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
