"""Where and how models of a search are trained, from what a user says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_core.wording import listed
from lfads_plugins_tune.executors import ExecutorOptions
from lfads_plugins_tune.search.run import Placing
from lfads_plugins_tune.specs import TAKES, ExecutorSpec


def placing_of(given: Mapping[str, Any], registry: Registry) -> Placing | None:
    """How models are trained, as far as it was said; None: nothing was.

    Raises:
        ConfigError: an option is for another executor.
    """
    name = given.get("executor")
    options = ExecutorOptions(
        address=given.get("address"),
        storage=given.get("storage"),
        workers=given.get("workers"),
        members_per_worker=given.get("per_worker"),
        cpus_per_worker=given.get("cpus"),
        gpus_per_worker=given.get("gpus"),
    )
    said = [option for option in TAKES if given.get(option) is not None]
    if name is not None:
        offered = registry.all(ExecutorSpec)
        takes = next((spec.takes for spec in offered if spec.name == name), None)
        for option in said:
            if takes is not None and option not in takes:
                able = listed(spec.name for spec in offered if option in spec.takes)
                raise ConfigError(f"--{option}: is for --executor {able}, got --executor {name}. Leave one of them out.")
    if name is None and options == ExecutorOptions():
        return None
    return Placing(executor=name or ("ray" if {*said} - {"workers"} else None), options=options)
