"""Ctrl-C, SIGTERM and the end of the terminal (SIGHUP) become a wish to stop; the second signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lfads_core.origin import blamed

SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
"""What asks to stop. Those that are ignored stay so: ``nohup`` is about SIGHUP, and a shell without job control ignores SIGINT for us."""


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
def stop_wish(given: StopWish | None = None) -> Iterator[StopWish]:
    """Listen for signals while the block runs, with the wish that is given or a new one; outside the main thread nothing can be heard.

    Raises:
        PluginError: a component raises what only a signal should, and none came.
    """
    wish = StopWish() if given is None else given
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.signal(number, wish.on_signal) for number in dict.fromkeys(heard)}
    try:
        yield wish
    except KeyboardInterrupt as err:
        own = RuntimeError("a KeyboardInterrupt of its own, for nobody has interrupted").with_traceback(err.__traceback__)
        if not wish.asked and (named := blamed(own)) is not None:
            raise named from err
        raise
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
