"""Types that a plugin brings for settings: an Enum, an array and a quantity, wherever settings go."""

import copy
import enum
import json
import pickle
import re
from types import ModuleType

import numpy as np
import pytest
import yaml
from attrs import define, evolve, frozen
from attrs import field as attribute
from numpy.typing import NDArray

from lfads_core import builtin
from lfads_core.config.describe import describe_registry, usage
from lfads_core.config.differences import differences, settings_hash
from lfads_core.config.explain import explain
from lfads_core.config.fields import Rule, setting
from lfads_core.config.groups import types_of
from lfads_core.config.load import resolve
from lfads_core.config.structure import structure, structure_as, unstructure
from lfads_core.config.yaml_io import dump, parse_yaml, read_yaml
from lfads_core.errors import ConfigError, PluginError, RunError
from lfads_core.pipeline.run import _only_allowed
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import AugmentationSpec, PriorSpec, ReadoutSpec, ReconstructionSpec, SettingsSpec, SettingTypeSpec
from lfads_core.testing import Given, try_laws


class Window(enum.Enum):
    """Shape of a window."""

    HANN = "hann"
    BOXCAR = "boxcar"


class Level(enum.IntEnum):
    """An Enum whose members are numbers."""

    LOW = 1
    HIGH = 2


@frozen
class Duration:
    """An attrs class that is a value and no group of settings."""

    value: float
    unit: str


_SCALE = {"s": 1000.0, "ms": 1.0}


def read_duration(text):
    found = re.fullmatch(r"([0-9.]+) (\w+)", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("write a number, a space and a unit")
    _ = _SCALE[found[2]]  # an author's mistake: KeyError for another unit
    return Duration(float(found[1]), found[2])


def write_duration(duration):
    return f"{duration.value:g} {duration.unit}"


def read_array(value):
    found = np.asarray(value, dtype=float)
    if found.ndim != 1:
        raise ValueError(f"it has {found.ndim} axes")
    return found


def above_zero():
    return Rule("longer than 0", lambda duration: duration.value > 0)


@frozen(kw_only=True)
class OwnSettings:
    """Settings of a prior."""

    tau: Duration = setting(Duration(5.0, "ms"), "time constant", rule=above_zero(), tune="often")
    window: Window = setting(Window.HANN, "shape")
    weights: NDArray[np.float64] = setting(np.array([1.0, 0.5]), "weights")
    level: Level = setting(Level.LOW, "level")
    pause: Duration | None = setting(None, "pause (null: none)")
    steps: tuple[Duration, ...] = setting((Duration(1.0, "s"),), "steps")
    table: dict[str, np.ndarray] = setting(dict, "arrays by name")


@frozen(kw_only=True)
class Rig:
    """A group of settings of its own, and one below it."""

    exposure: Duration = setting(Duration(20.0, "ms"), "exposure")
    gain: np.ndarray = setting(np.array([2.0]), "gains")


@frozen(kw_only=True)
class RigSettings:
    camera: Rig = setting(Rig, "camera")
    window: Window = setting(Window.BOXCAR, "shape")


def types():
    yield SettingTypeSpec(
        name="duration", summary="A time", cls=Duration, phrase="a duration such as '5 ms'", structure=read_duration, unstructure=write_duration
    )
    yield SettingTypeSpec(
        name="window", summary="A window", cls=Window, phrase="hann or boxcar", structure=Window, unstructure=lambda window: window.value
    )
    yield SettingTypeSpec(
        name="array", summary="An array", cls=np.ndarray, phrase="a list of numbers", structure=read_array, unstructure=np.ndarray.tolist
    )
    yield SettingTypeSpec(name="level", summary="A level", cls=Level, phrase="1 or 2", structure=Level, unstructure=int)


class Plugin:
    """A prior and a group with settings of own types, and what the defaults of a run name."""

    @hookimpl
    def lfads_setting_types(self):
        yield from types()

    @hookimpl
    def lfads_priors(self):
        for name in ("normal", "autoregressive", "timed"):
            yield PriorSpec(name=name, summary="A prior", config=OwnSettings, build=print)

    @hookimpl
    def lfads_settings(self):
        yield SettingsSpec(name="rig", summary="The rig", config=RigSettings)

    @hookimpl
    def lfads_reconstructions(self):
        yield ReconstructionSpec(name="poisson", summary="Counts", config=Empty, build=print)

    @hookimpl
    def lfads_readouts(self):
        yield ReadoutSpec(name="linear", summary="A matrix", config=Empty, build=print)

    @hookimpl
    def lfads_augmentations(self):
        yield AugmentationSpec(name="coordinated-dropout", summary="Hide some", config=Empty, build=print)


@frozen
class Empty:
    """Nothing."""


@pytest.fixture(scope="module")
def own():
    return Registry.from_plugins({"core": builtin, "lab-units": Plugin()})


def prior(config):
    return config.components.ic_prior.settings


def faults(registry, *overrides):
    with pytest.raises(ConfigError) as err:
        resolve([], [], [f"components.ic_prior.{text}" for text in overrides], registry)
    return str(err.value).split("\n")


def test_defaults_of_components_and_groups_may_be_of_own_types(own):
    config = resolve([], [], [], own)
    assert (prior(config).tau, prior(config).window, prior(config).level) == (Duration(5.0, "ms"), Window.HANN, Level.LOW)
    assert config.rig.camera.exposure == Duration(20.0, "ms")
    np.testing.assert_array_equal(config.rig.camera.gain, [2.0])
    assert type(prior(config).weights) is np.ndarray


def test_a_file_and_the_command_line_give_them_as_plain_data(own, tmp_path):
    path = tmp_path / "lfads.yaml"
    path.write_text(
        "rig:\n  camera: {exposure: 1 s}\n  window: hann\n"
        "components:\n  ic_prior:\n    name: timed\n    tau: 7 ms\n    pause: 2 s\n    steps: [1 ms, 2 ms]\n    table: {a: [1, 2]}\n    level: 2\n"
    )
    config = resolve([path], [], ["components.ic_prior.weights=[1, 2, 3]", "components.ic_prior.window=boxcar", "rig.camera.gain=[4]"], own)
    found = prior(config)
    assert (found.tau, found.pause, found.window, found.level) == (Duration(7.0, "ms"), Duration(2.0, "s"), Window.BOXCAR, Level.HIGH)
    assert found.steps == (Duration(1.0, "ms"), Duration(2.0, "ms"))
    assert (found.weights.tolist(), found.table["a"].tolist(), config.rig.camera.gain.tolist()) == ([1, 2, 3], [1, 2], [4])
    assert (config.rig.camera.exposure, config.rig.window) == (Duration(1.0, "s"), Window.HANN)


def test_a_recipe_written_in_python_may_hold_the_values_themselves(own):
    given = {"components": {"ic_prior": {"name": "timed", "tau": Duration(9.0, "s"), "weights": np.ones(2)}}}
    assert prior(structure(given, own)).tau == Duration(9.0, "s")


def test_wrong_values_are_faults_like_any_other_with_file_line_and_path(own, tmp_path):
    path = tmp_path / "lfads.yaml"
    path.write_text(
        "rig:\n  camera:\n    exposure: fast\n    gian: 1\n  window: round\n"
        "components:\n  ic_prior:\n    tau: 0 ms\n    pause: false\n    weights: [[1]]\n    steps: [1 ms, 2]\n    level: 3\n    table: {a: x}\n"
        "optim: {lr: fast}\n"
    )
    with pytest.raises(ConfigError) as err:
        resolve([path], [], ["components.input_prior.tau=5", "components.input_prior.window=null"], own)
    assert str(err.value).replace(str(path), "lfads.yaml").split("\n") == [
        "lfads.yaml:3: rig.camera.exposure: must be a duration such as '5 ms', got 'fast': write a number, a space and a unit",
        "lfads.yaml:4: rig.camera.gian: no such setting. Did you mean rig.camera.gain?",
        "lfads.yaml:5: rig.window: must be hann or boxcar, got 'round': 'round' is not a valid Window",
        "lfads.yaml:8: components.ic_prior.tau: must be longer than 0, got Duration(value=0.0, unit='ms')",
        (
            "lfads.yaml:9: components.ic_prior.pause: "
            "must be a duration such as '5 ms' or null, got false: write a number, a space and a unit. Off is null"
        ),
        "lfads.yaml:10: components.ic_prior.weights: must be a list of numbers, got [[1]]: it has 2 axes",
        "lfads.yaml:11: components.ic_prior.steps.1: must be a duration such as '5 ms', got 2: write a number, a space and a unit",
        "lfads.yaml:12: components.ic_prior.level: must be 1 or 2, got 3: 3 is not a valid Level",
        "lfads.yaml:13: components.ic_prior.table.a: must be a list of numbers, got 'x': could not convert string to float: 'x'",
        "lfads.yaml:14: optim.lr: must be a number, got 'fast'",
        "--set: components.input_prior.tau: must be a duration such as '5 ms', got 5: write a number, a space and a unit",
        "--set: components.input_prior.window: must be hann or boxcar, got null: None is not a valid Window",
    ]


def test_a_list_of_values_is_refused_as_a_list(own):
    assert faults(own, "steps=1 ms") == [
        "--set: components.ic_prior.steps: must be a list of entries, each a duration such as '5 ms', got '1 ms'",
    ]
    assert faults(own, "table=[1]") == [
        "--set: components.ic_prior.table: must be a mapping from names to entries, each a list of numbers, got [1]",
    ]


def test_what_a_plugin_trips_over_is_one_sentence_that_names_it(own):
    assert faults(own, "tau=5 parsecs") == [
        (
            "--set: components.ic_prior.tau: must be a duration such as '5 ms', got '5 parsecs': "
            "lab-units 0 (entry point 'lab-units') fails over it (KeyError: 'parsecs'), which is the plugin's to mend"
        )
    ]
    assert faults(own, "weights={a: 1}") == [
        (
            "--set: components.ic_prior.weights: must be a list of numbers, got {'a': 1}: "
            "lab-units 0 (entry point 'lab-units') fails over it (TypeError: float() argument must be a string or a real number, not 'dict'), "
            "which is the plugin's to mend"
        )
    ]


def a_type(**changed):
    """A registry with one type, or the fault that the plugin is left out for."""
    about = {"name": "duration", "summary": "A time", "cls": Duration, "phrase": "a time", "structure": read_duration, "unstructure": write_duration}

    class Offers(Plugin):
        @hookimpl
        def lfads_setting_types(self):
            yield SettingTypeSpec(**{**about, **changed})
            yield from list(types())[1:]

    return Registry.from_plugins({"core": builtin, "lab-units": Offers()})


def test_a_plugin_that_makes_something_else_is_named_too():
    (line, *_) = faults(a_type(structure=lambda text: f"<{text}>"), "window=hann")
    assert line == (
        "components.ic_prior.tau: must be a time, got '5 ms': "
        "lab-units 0 (entry point 'lab-units') makes a str of it and no Duration, which is the plugin's to mend"
    )


@pytest.mark.parametrize(
    ("unstructure", "text"),
    [
        (lambda _: {}["ms"], "must take Duration(value=20.0, unit='ms'), got KeyError: 'ms'"),
        (lambda _: np.float64(3.0), f"must give plain data (null, true, finite numbers, text, lists, mappings by text), got {np.float64(3.0)!r}"),
        (lambda _: [1, (2,)], "must give plain data (null, true, finite numbers, text, lists, mappings by text), got [1, (2,)]"),
        (lambda _: {"a": float("nan")}, "must give plain data (null, true, finite numbers, text, lists, mappings by text), got {'a': nan}"),
        (lambda _: {1: 2}, "must give plain data (null, true, finite numbers, text, lists, mappings by text), got {1: 2}"),
    ],
)
def test_what_cannot_be_written_to_a_file_is_the_authors_fault(unstructure, text):
    registry = a_type(unstructure=unstructure)
    sentence = f"lab-units 0 (entry point 'lab-units'): unstructure of the setting type 'duration' {text}"
    with pytest.raises(PluginError, match=f"^{re.escape(sentence)}$"):
        resolve([], [], [], registry)


def test_plain_data_of_every_sort_are_taken():
    registry = a_type(structure=lambda data: Duration(data["value"][0], "ms"), unstructure=lambda d: {"value": [d.value, None, True, 1, "x"]})
    assert prior(resolve([], [], [], registry)).tau == Duration(5.0, "ms")


def test_a_type_that_nobody_brings_is_still_the_authors_fault(own):
    class Without(Plugin):
        @hookimpl
        def lfads_setting_types(self):
            yield from list(types())[:1]

    text = (
        "lab-units 0 (entry point 'lab-units'): the settings 'rig' cannot be read: "
        "settings cannot be of type <enum 'Window'>. Use bool, int, float, str, Path, Literal, tuples, lists, dict[str, ...], attrs classes, "
        "and null for off, or offer the type in lfads_setting_types."
    )
    with pytest.raises(PluginError, match=f"^{re.escape(text)}$"):
        resolve([], [], [], Registry.from_plugins({"core": builtin, "lab-units": Without()}))
    assert prior(resolve([], [], [], own)).window is Window.HANN  # the other registry knows it as before


def test_an_attrs_class_that_nobody_brings_is_a_group_as_ever(registry):
    @frozen(kw_only=True)
    class Plain:
        tau: Duration = Duration(1.0, "s")

    assert structure_as(Plain, {"tau": {"value": 2}}, registry) == Plain(tau=Duration(2.0, "s"))


def test_two_plugins_cannot_bring_the_same_type():
    class Other:
        @hookimpl
        def lfads_setting_types(self):
            yield SettingTypeSpec(name="time", summary="A time", cls=Duration, phrase="a time", structure=read_duration, unstructure=write_duration)

    with pytest.raises(
        PluginError,
        match=r"^the type Duration of settings must come from one plugin, got lab-units 0 \(entry point 'lab-units'\) and "
        r"lab-times 0 \(entry point 'lab-times'\)\. Uninstall one\.$",
    ):
        resolve([], [], [], Registry.from_plugins({"core": builtin, "lab-units": Plugin(), "lab-times": Other()}))


@pytest.mark.parametrize("cls", [int, str, list, dict, type(None), "Duration"])
def test_what_settings_know_by_themselves_cannot_be_brought(cls):
    with pytest.raises(ValueError, match=f"'cls' must be a class that settings do not know by themselves, got {re.escape(repr(cls))}"):
        SettingTypeSpec(name="x", summary="x", cls=cls, phrase="x", structure=print, unstructure=print)


def test_a_class_whose_annotations_are_for_type_checkers_may_be_brought():
    @frozen
    class Lazy:
        x: "Missing"  # noqa: F821

    @frozen
    class Holds:
        lazy: Lazy = Lazy(1)

    class Offers:
        @hookimpl
        def lfads_setting_types(self):
            yield SettingTypeSpec(name="lazy", summary="x", cls=Lazy, phrase="a lazy", structure=Lazy, unstructure=lambda lazy: lazy.x)

    registry = Registry.from_plugins({"lazy": Offers()})
    found = structure_as(Holds, {"lazy": 3}, registry)
    assert found == Holds(lazy=Lazy(3))
    assert unstructure(found, types_of(registry)) == {"lazy": 3}


CHANGED = [
    "components.ic_prior={name: timed, tau: 7 ms, weights: [1, 2], steps: [3 s], pause: 1 s, table: {a: [1]}, level: 2, window: boxcar}",
    "rig.camera.exposure=3 ms",
    "rig.camera.gain=[0.5, 1e-4]",
]


def test_settings_go_round_a_file_and_plain_data(own, tmp_path):
    config = resolve([], [], CHANGED, own)
    path = tmp_path / "lfads.yaml"
    path.write_text(dump(config))
    assert yaml.safe_load(dump(config)) == unstructure(config)
    assert "    tau: 7 ms\n    window: boxcar\n    weights: [1.0, 2.0]\n    level: 2\n" in dump(config)
    assert json.loads(json.dumps(unstructure(config))) == unstructure(config)
    for back in (structure(unstructure(config), own), structure(parse_yaml(dump(config), "x").data, own), resolve([path], [], [], own)):
        assert unstructure(back) == unstructure(config)
        assert prior(back).tau == Duration(7.0, "ms")
        assert prior(back).weights.tolist() == [1.0, 2.0]
    assert read_yaml(path).data["rig"]["camera"] == {"exposure": "3 ms", "gain": [0.5, 0.0001]}


def test_differences_and_hash_are_those_of_the_plain_data(own):
    assert differences(resolve([], [], [], own)) == {}
    config = resolve([], [], ["components.ic_prior.tau=7 ms", "rig.camera.gain=[1, 2]", "components.ic_prior.weights=[1, 0.5]"], own)
    form = differences(config)
    assert form == {"components": {"ic_prior": {"name": "normal", "tau": "7 ms"}}, "rig": {"camera": {"gain": [1.0, 2.0]}}}
    assert settings_hash(form) == settings_hash(differences(structure(unstructure(config), own)))
    assert differences(resolve([], [], ["components.train_augmentations=[coordinated-dropout]", "components.ic_prior.steps=[1 s]"], own)) == {}


def test_a_run_cannot_be_resumed_with_another_array_and_can_with_the_same(own, tmp_path):
    before = resolve([], [], [], own)
    _only_allowed(tmp_path, before, resolve([], [], ["components.ic_prior.weights=[1, 0.5]", "optim.lr=0.001"], own))
    for text, group in (("components.ic_prior.weights=[1, 2]", "components"), ("rig.camera.gain=[1, 2]", "rig")):
        with pytest.raises(RunError, match=f"got changes in {group}\\. Start a new run"):
            _only_allowed(tmp_path, before, resolve([], [], [text], own))


def test_they_are_explained_in_their_own_words(own):
    (tau,) = explain("components.ic_prior.timed.tau", own)
    assert (tau.type, tau.default, tau.rule, tau.is_group, tau.tuning) == ("a duration such as '5 ms'", "5 ms", "longer than 0", False, "often")
    said = {e.key.rpartition(".")[2]: (e.type, e.default) for e in explain("components.ic_prior.timed", own)[1:]}
    assert said == {
        "tau": ("a duration such as '5 ms'", "5 ms"),
        "window": ("hann or boxcar", "hann"),
        "weights": ("a list of numbers", "[1.0, 0.5]"),
        "level": ("1 or 2", "1"),
        "pause": ("a duration such as '5 ms' or null", "null"),
        "steps": ("a list of entries, each a duration such as '5 ms'", "[1 s]"),
        "table": ("a mapping from names to entries, each a list of numbers", "{}"),
    }
    assert [(e.key, e.default) for e in explain("rig", own)] == [
        ("rig", "on"),
        ("rig.camera", "on"),
        ("rig.camera.exposure", "20 ms"),
        ("rig.camera.gain", "[2.0]"),
        ("rig.window", "boxcar"),
    ]


def test_plugins_show_gives_yaml_that_can_be_pasted(own):
    spec = own.get(PriorSpec, "timed")
    text = usage(spec, types_of(own))
    assert prior(structure(parse_yaml(text.split("input_prior")[0], "x").data, own)).tau == Duration(5.0, "ms")
    (shown,) = [c for c in describe_registry(own)["components"] if (c["kind"], c["name"]) == ("prior", "timed")]
    assert {row["path"]: row["default"] for row in shown["settings"]}["weights"] == [1.0, 0.5]
    json.dumps(shown)
    assert own.get(SettingTypeSpec, "duration").usage() == "# in a plugin's settings: a field of type Duration"


def test_a_component_with_own_types_obeys_the_law_of_settings(own):
    spec = evolve(own.get(PriorSpec, "timed"), build=lambda *_: None)
    (settings, *_) = try_laws(spec, Given(registry=own))
    assert (settings.law, settings.faults) == ("settings go round a config file", ())
    (settings, *_) = try_laws(spec, Given(registry=own, settings=OwnSettings(weights=np.ones(3), tau=Duration(1.0, "s"))))
    assert settings.faults == ()
    assert try_laws(own.get(SettingTypeSpec, "duration"))[0].ok


def test_settings_can_be_copied_and_pickled(own):
    config = resolve([], [], CHANGED, own)
    for made in (copy.deepcopy(prior(config)), pickle.loads(pickle.dumps(prior(config)))):
        assert unstructure(made, types_of(own)) == unstructure(prior(config), types_of(own))


def test_a_union_takes_the_first_type_that_fits(own):
    @define
    class Either:
        x: int | Duration | Window = 3
        y: str | float = attribute(default="a")

    for value, expected in ((4, 4), ("5 ms", Duration(5.0, "ms")), ("hann", Window.HANN)):
        assert structure_as(Either, {"x": value}, own).x == expected
    with pytest.raises(ConfigError, match=r"^x: must be a whole number or a duration such as '5 ms' or hann or boxcar, got 'x'$"):
        structure_as(Either, {"x": "x"}, own)


def test_the_example_of_the_docs_says_what_the_page_says(root):
    page = (root / "docs" / "hooks" / "lfads_setting_types.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# lfads_stimulus.py\n(.*?)```", page, flags=re.DOTALL)
    module = ModuleType("lfads_stimulus")
    exec(compile(code, "lfads_stimulus.py", "exec"), module.__dict__)

    class Renamed(Plugin):
        @hookimpl
        def lfads_setting_types(self):
            yield from (evolve(spec, name=f"own-{spec.name}") for spec in types())

    registry = Registry.from_plugins({"core": builtin, "lfads-stimulus": module, "lab-units": Renamed()})
    config = resolve([], [], ["stimulus.length=300 ms"], registry)
    assert config.stimulus.length.ms == 300
    assert unstructure(structure(unstructure(config), registry))["stimulus"] == {"start": "0.0 ms", "length": "300.0 ms"}
    with pytest.raises(ConfigError) as err:
        resolve([], [], ["stimulus.length=300"], registry)
    assert f"`{err.value}`" in page
