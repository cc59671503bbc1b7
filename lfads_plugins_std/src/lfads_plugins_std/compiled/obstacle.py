"""Whether the compiled loops can be used here, and how to get them if not."""

from __future__ import annotations

import logging

from lfads_core.errors import LfadsError
from lfads_plugins_std.compiled import cache
from lfads_plugins_std.compiled.build import NoLibraryError, build
from lfads_plugins_std.compiled.library import load

log = logging.getLogger(__name__)


def obstacle(device: str, *, asked: bool) -> str | None:
    """Why not, in one clause; None if they can. Where a library is missing it is made if the user asked for it or a training begins."""
    if device.partition(":")[0] != "cpu":
        return f"it computes on a cpu alone, not on {device}"
    try:
        if cache.find() is None:
            if not asked:
                return "'lfads compile' would make a faster one"
            build(again=False, beginning=_say)
        load()
    except NoLibraryError as error:
        return str(error)
    except LfadsError as error:
        return str(error).rstrip(".")
    except OSError as error:
        return f"what is compiled cannot be kept in {cache.folder()} ({error.strerror})"
    return None


def _say() -> None:
    log.info("recurrence: compiling the loops for this processor, once, which takes some seconds; train.compile: false does without")
