"""Plugins: what authors import (``hookimpl`` and the records), and the registry that finds what is installed.

Importing this package loads no torch. A plugin's ``plugin.py`` needs nothing else from the project.
"""

from __future__ import annotations

import functools
import logging

from lfads_core.plugins.hooks import Hook
from lfads_core.plugins.hookspecs import PROJECT, hookimpl
from lfads_core.plugins.loading import BrokenPlugin, Plugin, Provider
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import (
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
]


@functools.cache
def load_registry() -> Registry:
    """Load the installed plugins once per process; ``load_registry.cache_clear()`` forgets them.

    Broken plugins are left out and logged once as warnings.

    Raises:
        PluginError: two plugins offer the same name, or ``LFADS_PLUGINS`` names one that is not installed.
    """
    registry = Registry.from_installed()
    registry.check()
    for fault in registry.faults:
        logging.getLogger("lfads").warning("plugin left out: %s", fault)
    return registry
