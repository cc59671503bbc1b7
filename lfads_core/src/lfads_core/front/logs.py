"""Log messages of this project and its plugins, said as everything else is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lfads_core.plugins import load_registry


def send_logs_to(say: Callable[[str], None], level: int = logging.INFO) -> None:
    """Let log messages of core and of every plugin's package be said like any other, from a level on."""
    handler = _ToDisplay(say)
    for logger in _loggers():
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


@contextmanager
def logs_said(say: Callable[[str], None], level: int = logging.INFO) -> Iterator[None]:
    """The same while the block runs, for a program that has its own way with logs."""
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in _loggers()]
    send_logs_to(say, level)
    try:
        yield
    finally:
        for logger, handlers, old, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(old)


def _loggers() -> list[logging.Logger]:
    names = {"lfads", "lfads_core", *(plugin.package for plugin in load_registry().plugins if plugin.package)}  # lfads speaks of plugins
    return [logging.getLogger(name) for name in sorted(names)]


class _ToDisplay(logging.Handler):
    """Log records become messages of a display."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; warnings say so."""
        text = record.getMessage()
        self.say(f"warning: {text}" if record.levelno >= logging.WARNING else text)
