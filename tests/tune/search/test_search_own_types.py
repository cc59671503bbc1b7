"""A search refuses spaces that a plugin's own type of settings cannot take, and draws from choices that it can."""

import re

import pytest
from attrs import frozen

from lfads_core import builtin
from lfads_core.config.fields import setting
from lfads_core.errors import ConfigError
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import SettingsSpec, SettingTypeSpec
from lfads_plugins_std import plugin as std
from lfads_plugins_tune import plugin as tune
from lfads_plugins_tune.search.parse import parse_spaces
from lfads_plugins_tune.search.paths import member_config
from lfads_plugins_tune.search.settings import resolve_base
from lfads_plugins_tune.search.spaces_of import resolve_spaces


@frozen
class Duration:
    ms: float


@frozen(kw_only=True)
class RigSettings:
    exposure: Duration = setting(Duration(20.0), "exposure")


def read(text):
    if not isinstance(text, str) or not text.endswith(" ms"):
        raise ValueError("write a number and ms")
    return Duration(float(text.removesuffix(" ms")))


class Lab:
    @hookimpl
    def lfads_setting_types(self):
        yield SettingTypeSpec(
            name="duration", summary="A time", cls=Duration, phrase="a time such as '5 ms'", structure=read, unstructure=lambda d: f"{d.ms:g} ms"
        )

    @hookimpl
    def lfads_settings(self):
        yield SettingsSpec(name="rig", summary="The rig", config=RigSettings)


@pytest.fixture(scope="module")
def own():
    return Registry.from_plugins({"core": builtin, "std": std, "tune": tune, "lab": Lab()})


def spaces(registry, *texts):
    base = resolve_base("random", [], [], ["search.suggested=false"], parse_spaces(texts), registry)
    return base, resolve_spaces("random", base, registry)


@pytest.mark.parametrize(
    ("space", "lines"),
    [
        (
            "rig.exposure=log:1:5",
            [f"search.spaces: rig.exposure: must be a time such as '5 ms', got {end}: write a number and ms" for end in ("1.0", "5.0")],
        ),
        ("rig.exposure=choice:5 ms,fast", ["search.spaces: rig.exposure: must be a time such as '5 ms', got 'fast': write a number and ms"]),
        ("rig.exposure.ms=log:1:5", ["search.spaces: rig.exposure.ms: no such setting here. Did you mean rig.exposure?"]),
    ],
)
def test_a_space_of_values_that_the_type_cannot_take_is_refused(own, space, lines):
    with pytest.raises(ConfigError, match=f"^{re.escape(chr(10).join(lines))}"):
        spaces(own, space)


def test_a_choice_of_values_may_be_searched(own):
    base, found = spaces(own, "rig.exposure=choice:5 ms,7 ms")
    assert found["rig.exposure"].values == ("5 ms", "7 ms")
    assert member_config(base, {"rig.exposure": "7 ms"}, own).rig.exposure == Duration(7.0)
