"""Settings that had another name once are read under both names, everywhere, and written under the new one."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from attrs import frozen

import lfads_core.builtin
import lfads_plugins_std.plugin
from lfads_core.config import renamed
from lfads_core.config.fields import above, setting
from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins import PriorSpec, Registry, SettingsSpec, hookimpl


@frozen(kw_only=True)
class Within:
    """A group within a group."""

    size: int = setting(3, "size", rule=above(0), was="count")


@frozen(kw_only=True)
class Group:
    """A group of settings."""

    width: float = setting(1.0, "width", rule=above(0), was="breadth")
    inner: Within = setting(Within, "more", was="core")


@pytest.fixture
def registry():
    """A prior and a group with renamed settings."""
    renamed._say_once.cache_clear()

    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="mine", summary="Mine", config=Group, build=dict)

    @hookimpl
    def lfads_settings():
        yield SettingsSpec(name="mine", summary="Mine", config=Group)

    return Registry.from_plugins(
        {
            "core": lfads_core.builtin,
            "std": lfads_plugins_std.plugin,
            "lab": SimpleNamespace(lfads_priors=lfads_priors, lfads_settings=lfads_settings),
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "mine: {breadth: 2.0, core: {count: 7}}",
        "mine: {width: 2.0, inner: {count: 7}}",
        "mine: {width: 2.0, core: {size: 7}}",
    ],
)
def test_a_file_with_old_names_means_the_new_ones(text, registry, tmp_path, caplog):
    path = tmp_path / "old.yaml"
    path.write_text(text)
    config = resolve([path], (), (), registry)
    assert config.mine == Group(width=2.0, inner=Within(size=7))
    assert resolve([path, path], (), ["mine.breadth=3", "mine.core.count=8"], registry).mine == Group(width=3.0, inner=Within(size=8))
    written = dump(config)
    assert "breadth" not in written
    assert "count" not in written


def test_a_component_s_old_names_mean_the_new_ones_and_are_told_once(registry, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            config = resolve([], (), ["components.ic_prior={name: mine, breadth: 2, core: {count: 5}}"], registry)
    assert config.components.ic_prior.settings == Group(width=2.0, inner=Within(size=5))
    assert "settings: breadth of Group is called width now, and is read under both names. Write the new one." in caplog.messages
    assert len(caplog.messages) == len(set(caplog.messages))


def test_both_names_at_once_are_refused(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"components\.ic_prior\.breadth: is called width now, which is given too\. Keep one"):
        resolve([], (), ["components.ic_prior={name: mine, breadth: 2, width: 3}"], registry)
    path = tmp_path / "both.yaml"
    path.write_text("mine: {breadth: 2.0, width: 3.0}")
    with pytest.raises(ConfigError, match=r"mine\.breadth: is called width now, which is given too"):
        resolve([path], (), (), registry)


def test_an_old_name_that_a_setting_has_now_is_refused():
    @frozen(kw_only=True)
    class Swapped:
        width: float = setting(1.0, "width", was="scale")
        scale: float = setting(1.0, "scale")

    with pytest.raises(PluginError, match=r"Swapped: width must have been called otherwise than a setting that there is, got was='scale'$"):
        renamed.old_names(Swapped, ())
