"""Plain data to settings and back: strict, complete, in our words."""

import random
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from lfads_core import builtin
from lfads_core.config.chosen import Component
from lfads_core.config.groups import run_config_class
from lfads_core.config.kinds import settings_of
from lfads_core.config.optional import HoldOutConfig
from lfads_core.config.places import places
from lfads_core.config.schema import DataConfig, RunConfig
from lfads_core.config.structure import structure, structure_as, unstructure
from lfads_core.errors import ConfigError, PluginError
from lfads_core.plugins import load_registry
from lfads_core.plugins.hookspecs import hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.plugins.specs import NoSettings, ReconstructionSpec


def faults(data, registry, cls=RunConfig):
    with pytest.raises(ConfigError) as err:
        structure_as(cls, data, registry)
    return str(err.value).split("\n")


def attempt(data, registry):
    """Faults and nothing, or no faults and settings."""
    try:
        return [], structure(data, registry)
    except ConfigError as err:
        return str(err).split("\n"), None


def every(registry, **settings):
    return structure({"components": {"reconstruction": {"name": "every", **settings}}}, registry).components.reconstruction.settings


def every_faults(registry, **settings):
    prefix = "components.reconstruction."
    return [line.removeprefix(prefix) for line in faults({"components": {"reconstruction": {"name": "every", **settings}}}, registry)]


def test_nothing_given_makes_the_defaults_with_settings_for_every_component(registry):
    config = structure({}, registry)
    assert config.components.reconstruction == Component("poisson", NoSettings())
    assert config.components.train_augmentations[0].settings.rate == 0.3
    assert attrs.evolve(config, components=RunConfig().components) == RunConfig()


def test_a_component_with_settings_is_one_flat_mapping(registry):
    config = structure({"components": {"reconstruction": {"name": "zig-loss", "gamma_loc": 1}}}, registry)
    assert unstructure(config.components.reconstruction) == {"name": "zig-loss", "gamma_loc": 1.0, "scale": 1.0, "window": None}
    assert unstructure(Component("poisson", NoSettings())) == unstructure(Component("poisson")) == {"name": "poisson"}


def test_settings_without_a_name_are_those_of_the_default_component(registry):
    class Known:
        def get(self, kind, name):
            return registry.get(kind, "zig-loss" if name == "poisson" else name)

        def find(self, name):
            return registry.find(name)

        def as_offered(self, record):
            return registry.as_offered(record)

    config = structure({"components": {"reconstruction": {"gamma_loc": 0.5}}}, Known())
    assert config.components.reconstruction.name == "poisson"
    assert config.components.reconstruction.settings.gamma_loc == 0.5


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("count", 3.7, "must be a whole number, got 3.7"),
        ("count", 3.0, "must be a whole number, got 3.0"),
        ("count", True, "must be a whole number, got true"),
        ("count", "5", "must be a whole number, got '5'"),
        ("count", None, "must be a whole number, got null"),
        ("flag", "false", "must be true or false, got 'false'"),
        ("flag", 0, "must be true or false, got 0"),
        ("flag", "on", "must be true or false, got 'on'"),
        ("both", "0.5", "must be a number, got '0.5'"),
        ("both", "e5", "must be a number, got 'e5'"),
        ("both", True, "must be a number, got true"),
        ("both", float("nan"), "must be a finite number, got nan"),
        ("both", float("inf"), "must be a finite number, got inf"),
        ("both", "1e999", "must be a finite number, got '1e999'"),
        ("both", 2**53 + 1, "must be a number that float64 can hold exactly, got 9007199254740993"),
        ("both", 10**400, "must be a number within the range of float64, got 1" + "0" * 76 + "..."),
        ("word", 5, "must be text, got 5. Put it in quotes"),
        ("word", True, "must be text, got true. Put it in quotes"),
        ("path", 5, "must be a path, got 5"),
        ("choice", True, "must be one of one, 1 or null, got true"),
        ("choice", "two", "must be one of one, 1 or null, got 'two'"),
        ("maybe", False, "must be a whole number or null, got false. Off is null"),
        ("maybe", 1.5, "must be a whole number or null, got 1.5"),
        ("either", [1], "must be a number or text, got [1]"),
        ("pair", [1], "must be a list of a whole number, text, got [1]"),
        ("pair", "1a", "must be a list of a whole number, text, got '1a'"),
        ("many", 3, "must be a list of numbers, got 3"),
        ("row", {"a": 1}, "must be a list of whole numbers, got {'a': 1}"),
        ("table", [1], "must be a mapping from names to numbers, got [1]"),
        ("table", {1: 1}, "must be a mapping from names to numbers, got {1: 1}"),
        ("windows", {"start": 1}, "must be a list of entries, each a group of settings, got {'start': 1}"),
        ("window", None, "must be a group of settings, got null. Leave the key out for its defaults"),
        ("window", [], "must be a group of settings, got []"),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_bent(registry, field, value, words):
    assert every_faults(registry, **{field: value}) == [f"{field}: {words}"]


def test_a_number_too_long_to_print_can_still_be_refused(registry):
    assert every_faults(registry, flag=10**5000) == ["flag: must be true or false, got a very long number"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("both", "5e-1", 0.5),
        ("both", "5.e-1", 0.5),
        ("both", "+.5E+0", 0.5),
        ("many", [1, "1e-4", 2.5], (1.0, 1e-4, 2.5)),
        ("many", (1,), (1.0,)),
        ("path", "a/b", Path("a/b")),
        ("path", Path("a/b"), Path("a/b")),
        ("choice", None, None),
        ("choice", 1, 1),
        ("maybe", 4, 4),
        ("either", "word", "word"),
        ("either", 2, 2.0),
        ("pair", [2, "b"], (2, "b")),
        ("row", [1, 2], [1, 2]),
        ("table", {"a": 1, "b": "1e-3"}, {"a": 1.0, "b": 1e-3}),
        ("anything", {"a": [1, None]}, {"a": [1, None]}),
        ("twice", 5, 5),
    ],
)
def test_what_is_meant_is_taken(registry, field, value, expected):
    found = getattr(every(registry, **{field: value}), field)
    assert found == expected
    assert type(found) is type(expected)


def test_whole_numbers_become_floats_where_numbers_are_wanted(registry):
    assert isinstance(structure({"optim": {"lr": 1}}, registry).optim.lr, float)


def test_a_default_may_depend_on_another_setting(registry):
    assert every(registry, count=5).twice == 10


def test_a_group_that_is_given_in_part_keeps_the_rest_of_its_own_default(registry):
    window = every(registry, window={"stop": 9}).window
    assert (window.start, window.stop) == (7, 9)


def test_every_type_survives_the_round_trip(registry):
    config = structure({"components": {"reconstruction": {"name": "every", "row": [1], "table": {"a": 2}, "windows": [{"stop": 3}, {}]}}}, registry)
    assert structure(unstructure(config), registry) == config


def test_faults_inside_lists_and_mappings_have_their_place(registry):
    wrong = {"many": [1, "x", None], "pair": ["1", "b"], "table": {"a": 1, "b": "x"}, "windows": [{}, {"strt": 1}], "row": [True]}
    assert every_faults(registry, **wrong) == [
        "pair.0: must be a whole number, got '1'",
        "many.1: must be a number, got 'x'",
        "many.2: must be a number, got null",
        "row.0: must be a whole number, got true",
        "table.b: must be a number, got 'x'",
        "windows.1.strt: no such setting. Did you mean components.reconstruction.windows.1.start?",
    ]


def test_rules_are_told_with_their_path_and_attrs_own_wording_is_kept(registry):
    data = {
        "model": {"controller": {"hidden": -3}},
        "train": {"device": "gpu"},
        "components": {"reconstruction": {"name": "every", "count": 0, "both": 2}},
    }
    assert faults(data, registry) == [
        "model.controller.hidden: must be >= 1, got -3",
        "components.reconstruction.count: 'count' must be > 0: 0",
        "components.reconstruction.both: 'both' must be < 1: 2.0",
        "train.device: must be one of auto, cpu, cuda, mps, or cuda:N for GPU number N, got 'gpu'",
    ]


def test_all_faults_of_all_sorts_come_at_once(registry):
    data = {
        "data": {"batch_size": 3.7, "hold_out": False},
        "model": {"controler": None, "dropout": 1.4, "generator": {"factors": True}},
        "components": {
            "reconstruction": {"name": "zig-loss", "gamma_lok": 1, "scale": "big"},
            "ic_prior": "nromal",
            "input_prior": {"tau": 1},
            "readin": {"width": 3},
            "readout": 4,
            "train_augmentations": [{"name": "coordinated-dropout", "rate": 0.95}, "sbtt", 7],
        },
        "optim": {"lr": 1e-6, "betas": [0.9, 1.0]},
        "lr": 1,
    }
    assert faults(data, registry) == [
        "lr: no such setting. Did you mean optim.lr?",
        "data.batch_size: must be a whole number or auto, got 3.7",
        "data.hold_out: must be a group of settings or null, got false. Off is null",
        "model.controler: no such setting. Did you mean model.controller?",
        "model.generator.factors: must be a whole number, got true",
        "model.dropout: must be >= 0 and < 1, got 1.4",
        "components.reconstruction.gamma_lok: no such setting of reconstruction 'zig-loss'. Did you mean components.reconstruction.gamma_loc?",
        "components.reconstruction.scale: must be a number, got 'big'",
        ("components.ic_prior: no prior named 'nromal'. Did you mean 'normal'? Installed: autoregressive, linear-gaussian, normal, sized."),
        "components.input_prior.tau: no such setting of prior 'autoregressive'. Known here: name",
        "components.readin: must say which readin by its name, got {'width': 3}",
        "components.readout: must be the name of a readout, with its settings if any, got 4",
        "components.train_augmentations.0.rate: must not be above ceiling (0.9), got 0.95",
        "components.train_augmentations.2: must be the name of an augmentation, with its settings if any, got 7",
        "optim.betas: both must be >= 0 and < 1, got (0.9, 1.0)",
        "optim.min_lr: must be below optim.lr (1e-06), got 1e-05",
    ]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({"optim": {"lr": -1}}, ["optim.lr: must be > 0, got -1.0"]),  # min_lr is not held against a rate that is wrong itself
        ({"optim": {"lr": "x", "min_lr": 1}}, ["optim.lr: must be a number, got 'x'"]),
        ({"optim": {"betas": [2, "x"]}}, ["optim.betas.1: must be a number, got 'x'"]),
        ({"optim": 3}, ["optim: must be a group of settings, got 3"]),
        (
            {"components": {"train_augmentations": [3], "loss_order": ["sbtt"]}},
            ["components.train_augmentations.0: must be the name of an augmentation, with its settings if any, got 3"],
        ),
        (
            {"components": {"loss_order": ["sbtt"]}},
            ["components.loss_order: must hold names from components.train_augmentations or components.infer_augmentations, got 'sbtt'"],
        ),
    ],
)
def test_a_rule_across_fields_waits_until_the_fields_it_names_are_right(registry, data, lines):
    assert faults(data, registry) == lines


def test_a_key_that_lives_in_several_groups_is_offered_with_all_of_them(registry):
    assert faults({"hidden": 1}, registry) == [
        "hidden: no such setting. Did you mean model.encoder.hidden, model.controller.hidden or model.generator.hidden?"
    ]
    assert faults({"optim": {"smothing": 1}}, registry) == ["optim.smothing: no such setting. Did you mean train.smoothing?"]
    cls = run_config_class(load_registry())
    assert faults({"track": {"qq": 1}}, load_registry(), cls) == [
        "track.qq: no such setting. Known here: mlflow, experiment, artifacts, tensorboard, tune, tune_callbacks"
    ]
    assert faults({"track": {3: 1}}, load_registry(), cls) == ["track.3: a setting's name must be a word, got 3"]


def test_a_setting_without_default_must_be_given(registry):
    data = {"components": {"ic_prior": "sized", "input_prior": {"name": "sized", "size": "x"}}}
    assert faults(data, registry) == [
        "components.ic_prior.size: must be given: a whole number",
        "components.input_prior.size: must be a whole number, got 'x'",
    ]
    data = {"components": {"ic_prior": {"name": "sized", "size": 2}}}
    assert structure(data, registry).components.ic_prior.settings.size == 2


def test_any_settings_class_can_be_structured_alone(registry):
    assert structure_as(DataConfig, {"hold_out": {"fraction": 0}}, registry) == DataConfig(hold_out=HoldOutConfig(fraction=0.0))
    assert faults({"batch": 1}, registry, DataConfig) == ["batch: no such setting. Did you mean batch_size?"]


@frozen
class _Private:
    _x: int = 0
    made: int = attrs.field(init=False, default=1)


@frozen
class _Complains:
    low: int = 0
    high: int = 1

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


@frozen
class _Speechless:
    x: int = attrs.field(default=0)

    @x.validator
    def _check(self, attribute, value):
        if value > self.bound():
            raise ValueError

    def bound(self):
        return 3


@frozen
class _BadDefault:
    x: float = float("inf")
    y: int = attrs.field(default=-1, validator=attrs.validators.gt(0))


@frozen
class _Nested:
    inner: _Complains
    rules: int = 3


def test_private_and_derived_fields_are_handled_as_attrs_does(registry):
    assert structure_as(_Private, {"_x": 3}, registry) == _Private(x=3)
    assert faults({"made": 3}, registry, _Private) == ["made: no such setting. Known here: _x"]


def test_what_the_class_itself_refuses_is_one_more_fault(registry):
    assert faults({"inner": {"low": 2}}, registry, _Nested) == ["inner: low must not be above high"]
    assert structure_as(_Nested, {"inner": {}}, registry) == _Nested(inner=_Complains())
    assert faults({}, registry, _Nested) == ["inner: must be given: a group of settings"]
    assert faults({"low": 2}, registry, _Complains) == ["low must not be above high"]


def test_a_validator_may_use_the_instance_and_say_nothing(registry):
    assert faults({"x": 4}, registry, _Speechless) == ["x: ValueError()"]


def test_a_default_that_breaks_its_own_rule_is_told(registry):
    assert faults({}, registry, _BadDefault) == ["x: must be a finite number, got inf", "y: 'y' must be > 0: -1"]


def _offer(cls):
    class Offers:
        @hookimpl
        def lfads_reconstructions(self):
            yield ReconstructionSpec(name="odd", summary="Odd", config=cls, build=print)

    return Registry.from_plugins({"core": builtin, "odd": Offers()})


def test_a_type_that_settings_cannot_have_is_the_authors_fault():
    @frozen
    class Odd:
        x: complex = 0j

    with pytest.raises(
        PluginError, match=re.escape("settings cannot be of type <class 'complex'>. Use bool, int, float, str, Path, Literal, tuples,")
    ):
        structure_as(Odd, {}, _offer(Odd))


def test_a_setting_called_name_is_the_authors_fault():
    @frozen
    class Odd:
        name: str = "x"

    text = (
        "reconstruction 'odd': no setting may be called 'name', which is the component's own. "
        "Rename it in test_a_setting_called_name_is_the_authors_fault.<locals>.Odd."
    )
    with pytest.raises(PluginError, match=f"^{re.escape(text)}$"):
        structure({"components": {"reconstruction": "odd"}}, _offer(Odd))


def test_types_known_to_type_checkers_only_are_the_authors_fault():
    @frozen
    class Odd:
        x: "Missing" = 0  # noqa: F821

    text = r"Odd: types of settings must be known at run time, got: name 'Missing' is not defined\. Import it for real\.$"
    with pytest.raises(PluginError, match=text):
        settings_of(Odd)


VALUES = {int: st.integers(0, 2000), float: st.floats(0, 1e6), bool: st.booleans(), str: st.text(max_size=5)}
PLACES = [(p.path, VALUES[p.setting.type]) for p in places() if p.setting.type in VALUES]


@given(st.data())
def test_whatever_is_accepted_comes_back_equal_and_whatever_is_not_says_so(registry, data):
    plain: dict[str, Any] = unstructure(RunConfig())
    for path, values in data.draw(st.lists(st.sampled_from(PLACES), max_size=4)):
        group = plain
        for key in path[:-1]:
            group[key] = group.get(key) or {}
            group = group[key]
        group[path[-1]] = data.draw(values)
    told, config = attempt(plain, registry)
    assert all(re.match(r"[a-z_0-9.]+: must be ", line) for line in told)
    assert config is None or structure(unstructure(config), registry) == config


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "lr", "hidden", "rate", "optim"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["data", "model", "components", "optim", "train", "infer", "x"]), JUNK, max_size=4), st.data())
def test_no_junk_raises_anything_but_faults(registry, plain, data):
    for group in [g for g in plain.values() if isinstance(g, dict)]:
        fields = ["controller", "generator", "reconstruction", "readin", "train_augmentations", "betas", "clip_norm", "loss_order", "hold_out"]
        group.update(data.draw(st.dictionaries(st.sampled_from(fields), JUNK, max_size=3)))
    told, config = attempt(plain, registry)
    assert all(": " in line for line in told)
    assert config is None or structure(unstructure(config), registry) == config


def test_faults_do_not_depend_on_the_order_of_hashing(registry):
    keys = list(unstructure(RunConfig())["train"])
    random.Random(0).shuffle(keys)
    assert faults({"train": dict.fromkeys(keys, "x")}, registry) == faults({"train": dict.fromkeys(sorted(keys), "x")}, registry)
