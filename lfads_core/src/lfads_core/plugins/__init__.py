"""Plugins: what authors import (``hookimpl`` and the records), and the registry that finds what is installed.

Importing this package loads no torch. A plugin's ``plugin.py`` needs nothing else from the project.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from lfads_core.plugins.hooks import Hook
from lfads_core.plugins.hookspecs import PROJECT, hookimpl
from lfads_core.plugins.loading import BrokenPlugin, Plugin, Provider
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.single_files import want_files_of, wanted_files
from lfads_core.plugins.specs import (
    AlignmentSpec,
    AugmentationSpec,
    CommandSpec,
    ComponentSpec,
    DataReaderSpec,
    DoctorCheckSpec,
    EncoderSpec,
    ExporterSpec,
    FunctionSpec,
    GeneratorSpec,
    LatentSpec,
    LossSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    RecipeSpec,
    ReconstructionSpec,
    RecordingSpec,
    RecurrenceSpec,
    ReportSectionSpec,
    ReportSpec,
    SettingsSpec,
    SettingTypeSpec,
    Spec,
    SyntheticSpec,
    TrackerSpec,
)

__all__ = [
    "PROJECT",
    "AlignmentSpec",
    "AugmentationSpec",
    "BrokenPlugin",
    "CommandSpec",
    "ComponentSpec",
    "DataReaderSpec",
    "DoctorCheckSpec",
    "EncoderSpec",
    "ExporterSpec",
    "FunctionSpec",
    "GeneratorSpec",
    "Hook",
    "LatentSpec",
    "LossSpec",
    "MetricSpec",
    "NoSettings",
    "Plugin",
    "PriorSpec",
    "Provider",
    "ReadinSpec",
    "ReadoutSpec",
    "RecipeSpec",
    "ReconstructionSpec",
    "RecordingSpec",
    "RecurrenceSpec",
    "Registry",
    "ReportSectionSpec",
    "ReportSpec",
    "SettingTypeSpec",
    "SettingsSpec",
    "Spec",
    "SyntheticSpec",
    "TrackerSpec",
    "hookimpl",
    "load_registry",
    "registry_of",
]


def load_registry() -> Registry:
    """Load the installed plugins, and the files that are asked for, once per process; ``load_registry.cache_clear()`` forgets them.

    Broken plugins are left out and logged once as warnings.

    Raises:
        PluginError: ``LFADS_PLUGINS`` names one that is not installed, or a file cannot be loaded.
    """
    return _loaded(wanted_files())


def registry_of(folder: Path) -> Registry:
    """The same with the plugin files that a run or search keeps in its folder, which this process has from now on.

    Raises:
        PluginError: one of them is gone, or is no longer what it was.
    """
    want_files_of(folder)
    return load_registry()


@functools.cache
def _loaded(files: tuple[Path, ...]) -> Registry:
    registry = Registry.from_installed()
    for fault in registry.faults:
        logging.getLogger("lfads").warning("plugin left out: %s", fault)
    for provider, remark in registry.remarks:
        logging.getLogger("lfads").warning("%s: %s", provider, remark)
    return registry


load_registry.cache_clear = _loaded.cache_clear  # type: ignore[attr-defined]
