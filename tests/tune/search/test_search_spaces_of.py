"""Hyperparameters by path: where they lead, what settings suggest, and what no search may move."""

from __future__ import annotations

import re

import pytest
from attrs import frozen

from lfads_core import builtin
from lfads_core.config.fields import setting
from lfads_core.config.load import resolve
from lfads_core.config.spaces import LIVE, SpaceConfig, uniform
from lfads_core.errors import ConfigError
from lfads_core.plugins import load_registry
from lfads_plugins_tune.search.parse import parse_spaces
from lfads_plugins_tune.search.paths import addresses, find, member_config
from lfads_plugins_tune.search.settings import resolve_base, resolve_search
from lfads_plugins_tune.search.spaces_of import resolve_spaces, suggestions
from lfads_plugins_tune.specs import SearchSpec

CD = "components.train_augmentations.coordinated-dropout.rate"


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def base(registry):
    return resolve([], ["emg"], [], registry)


def test_entries_of_lists_are_called_by_their_component(base):
    known = addresses(base)
    assert known[CD].value == 0.3
    assert known["components.train_augmentations.temporal-shift.std"].value == 3.0
    assert known["model.controller.inputs"].value == 3
    assert find(base, "components.train_augmentations.1.rate").path == CD
    assert find(base, "components.input_prior.tau").value == 10.0


def test_entries_of_one_name_are_called_by_their_number(registry):
    base = resolve([], [], ["components.train_augmentations=[spike-jitter, {name: spike-jitter, width: 5}]"], registry)
    assert [p for p in addresses(base) if p.endswith("width")] == [f"components.train_augmentations.{i}.width" for i in (0, 1)]
    assert member_config(base, {"components.train_augmentations.1.width": 9}, registry).components.train_augmentations[1].settings.width == 9


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("optim.lrr", "search.spaces: optim.lrr: no such setting here. Did you mean optim.lr or optim.min_lr?"),
        ("dropout", "search.spaces: dropout: no such setting here. Did you mean model.dropout?"),
        (
            "data.hold_out.fraction",
            "search.spaces: data.hold_out.fraction: must lie in a group that is on, got one that is off. Switch data.hold_out on, or leave this out.",
        ),
        ("x.y", "search.spaces: x.y: no such setting here. `lfads config show` lists all there is."),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_might_lead(path, message, base):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        find(base, path)


def test_a_member_is_an_ordinary_run_with_its_hyperparameters(base, registry):
    config = member_config(base, {"optim.lr": 1e-3, CD: 0.5, "model.controller": None, "components.input_prior": "normal"}, registry)
    assert (config.optim.lr, config.components.train_augmentations[1].settings.rate) == (1e-3, 0.5)
    assert (config.model.controller, config.components.input_prior.name, config.search) == (None, "normal", None)
    chosen = member_config(base, {"components.input_prior.variance": 0.7, "components.input_prior": "normal"}, registry)
    assert chosen.components.input_prior.settings.variance == 0.7
    assert base.components.input_prior.name == "autoregressive"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim.lr": -1.0}, "search.spaces: optim.lr: must be > 0, got -1.0"),
        ({"optim.lr": "fast"}, "search.spaces: optim.lr: must be a number, got 'fast'"),
        (
            {"components.train_augmentations.gone.rate": 0.1},
            (
                "search.spaces: components.train_augmentations.gone.rate: must lead to an entry by name or number, "
                "one of temporal-shift, coordinated-dropout, random-gain, got 'gone'."
            ),
        ),
    ],
)
def test_hyperparameters_that_a_setting_refuses_are_told(overrides, message, base, registry):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        member_config(base, overrides, registry)


def test_the_defaults_suggest_what_autolfads_searches(registry):
    found = dict(suggestions(resolve([], [], [], registry)))
    assert list(found) == [
        "model.dropout",
        CD,
        "optim.lr",
        "regularisation.kl_ic",
        "regularisation.kl_inputs",
        "regularisation.l2_generator",
        "regularisation.l2_controller",
    ]
    assert found["optim.lr"] == SpaceConfig(kind="log", low=1e-5, high=5e-3, init=4e-3)
    assert found[CD] == uniform(0.01, 0.7)


def test_a_suggested_start_is_the_runs_own_value(registry):
    assert dict(suggestions(resolve([], [], ["optim.lr=1e-3"], registry)))["optim.lr"].init == 1e-3


def test_searches_look_around_the_runs_own_values(registry):
    given = ["optim.lr=2e-3", "optim.min_lr=0", "regularisation.kl_ic=2e-7", "regularisation.l2_generator=0.0", "search.members=3"]
    base = resolve([], [], given, registry)
    alone, population = (resolve_spaces(kind, base, registry) for kind in ("random", "pbt"))
    assert (alone["optim.lr"].low, alone["optim.lr"].high) == (5e-4, 4e-3)
    assert (alone["regularisation.kl_ic"].low, alone["regularisation.kl_ic"].high) == pytest.approx((2e-8, 2e-6))
    assert population["regularisation.kl_ic"] == alone["regularisation.kl_ic"]
    assert alone["model.dropout"] == population["model.dropout"] == uniform(0.0, 0.6)
    assert alone["regularisation.l2_generator"] == population["regularisation.l2_generator"]  # nothing is near 0
    assert (population["optim.lr"].low, population["optim.lr"].high) == (1e-5, 5e-3)


def test_a_populations_start_lies_within_its_bounds_however_large_the_runs_rate_is(registry):
    rate = resolve_spaces("pbt", resolve([], [], ["optim.lr=0.02", "optim.min_lr=0", "search.members=3"], registry), registry)["optim.lr"]
    assert (rate.low, rate.init, rate.high) == (1e-5, 0.02, 0.04)


def test_without_a_controller_nothing_of_it_is_searched(registry):
    found = dict(suggestions(resolve([], [], ["model.controller=null"], registry)))
    assert not {"regularisation.kl_inputs", "regularisation.l2_controller"} & found.keys()


def test_components_suggest_spaces_of_their_own(base):
    assert "components.train_augmentations.temporal-shift.std" in dict(suggestions(base))


def spaces(kind, *texts, registry, overrides=(), plugins=()):
    config = resolve_base(kind, [], plugins, overrides, parse_spaces(texts), registry)
    return resolve_spaces(kind, config, registry)


def test_given_spaces_win_over_suggested_ones_and_null_takes_one_out(registry):
    found = spaces("pbt", "optim.lr=log:1e-4:1e-3", "model.dropout=null", "optim.weight_decay=log:1e-6:1e-2", registry=registry)
    assert (found["optim.lr"].low, found["optim.lr"].init) == (1e-4, None)
    assert "model.dropout" not in found
    assert list(found).index("optim.weight_decay") == list(found).index("optim.lr") + 1


def test_a_file_and_a_recipe_may_bring_spaces(registry, tmp_path):
    from lfads_core.plugins import Registry, hookimpl
    from lfads_core.plugins.specs import RecipeSpec
    from lfads_plugins_std import plugin as standard
    from lfads_plugins_tune import plugin as tune

    class Recipes:
        @staticmethod
        @hookimpl
        def lfads_recipes():
            section = {"spaces": {"optim.lr": {"kind": "log", "low": 1e-4, "high": 5e-3, "init": 2e-3}}, "members": 7}
            yield RecipeSpec(name="slow", summary="Slow", settings={"search": section})

    both = Registry.from_plugins({"core": builtin, "std": standard, "tune": tune, "recipes": Recipes})
    file = tmp_path / "a.yaml"
    file.write_text("search:\n  interval: 10\n  spaces:\n    model.dropout: {kind: uniform, low: 0.1, high: 0.3}\n    regularisation.kl_ic: null\n")
    config = resolve_base("pbt", [file], ["slow"], [], parse_spaces(("optim.weight_decay=log:1e-6:1e-2",)), both)
    found = resolve_spaces("pbt", config, both)
    assert (config.search.members, config.search.interval) == (7, 10)
    assert (found["optim.lr"].low, found["model.dropout"].high, found["optim.weight_decay"].low) == (1e-4, 0.3, 1e-6)
    assert "regularisation.kl_ic" not in found


def test_a_grid_takes_only_what_is_given(registry):
    assert list(spaces("grid", "optim.lr=choice:1e-3,2e-3", registry=registry)) == ["optim.lr"]
    assert list(spaces("random", "optim.lr=log:1e-4:1e-3", registry=registry, overrides=["search.suggested=false"])) == ["optim.lr"]


NOT_LIVE = (
    "must be a setting that can change while a model trains, got one that shapes the model, its data or its start. "
    "Search it with `lfads search random` or `grid`; of a component of your own, declare it with setting(..., search=LIVE)."
)


@pytest.mark.parametrize(
    "path", ["model.generator.factors", "data.batch_size", "train.seed", "components.input_prior", "components.ic_prior.variance"]
)
def test_a_population_does_not_move_what_shapes_the_model_or_its_start(path, registry):
    space = f"{path}=choice:1,2" if path != "components.input_prior" else f"{path}=choice:normal,autoregressive"
    with pytest.raises(ConfigError, match=f"^{re.escape(f'search.spaces: {path}: {NOT_LIVE}')}$"):
        spaces("pbt", space, registry=registry)
    assert path in spaces("random", space, registry=registry)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("data.hold_out.fraction", "decides which channels the scores are about"),
        ("validation.judge", "decides what the scores mean"),
        ("regularisation.reduce", "decides what the scores mean"),
        ("components.reconstruction", "decides what the scores mean; search each reconstruction on its own"),
        ("train.epochs", "is the length of the search itself"),
        ("search.members", "is the search itself"),
        ("track.mlflow", "changes no model"),
    ],
)
def test_what_scores_depend_on_is_moved_by_no_search(path, why, registry):
    for kind in ("pbt", "random", "grid"):
        with pytest.raises(ConfigError, match=f"^{re.escape(f'search.spaces: {path}: must stay as it is in a search, for it {why}.')}$"):
            spaces(kind, f"{path}=choice:1,2", registry=registry, overrides=["data.hold_out.fraction=0.2"])


def test_settings_of_the_reconstruction_may_be_searched(registry):
    assert "components.reconstruction.scale_penalty" in spaces(
        "pbt", "components.reconstruction.scale_penalty=log:1e-6:1e-3", registry=registry, plugins=["zig"]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "optim.lr=log:1e-5:5e-3:init=0.1",
            "search.spaces: optim.lr: must start within its space, from 1e-05 to 0.005, got 0.1. Set it there, or give a wider space.",
        ),
        ("model.dropout=uniform:0:1", "search.spaces: model.dropout: must be >= 0 and < 1, got 1.0"),
        (f"{CD}=choice:0.1,2", "search.spaces: components.train_augmentations.0.rate: must be >= 0 and < 1, got 2.0"),
        ("optim.lr=log:0:1", "search.spaces.optim.lr.low: must be > 0 for the kind log, got 0.0"),
        (
            "optim.lr=function:no_such:f",
            "search.spaces: optim.lr: the function of a space must be importable as 'module:name', got 'no_such:f' (No module named 'no_such').",
        ),
    ],
)
def test_a_space_that_leaves_its_settings_rule_is_refused_before_anything_starts(text, message, registry):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        spaces("pbt", text, registry=registry)


def test_all_faults_are_told_at_once(registry):
    with pytest.raises(ConfigError) as caught:
        spaces("pbt", "optim.lrr=log:1:2", "model.dropout=uniform:-1:2", "data.batch_size=int:1:2", registry=registry)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["optim.lrr", "data.batch_size", "model.dropout", "model.dropout"]


def test_a_search_for_nothing_is_refused(registry):
    message = "search.spaces: there must be something to search, got no space. Give one, such as --space optim.lr=log:1e-4:1e-2."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        spaces("grid", registry=registry)


@frozen(kw_only=True)
class Mine:
    """Settings of a stranger's augmentation."""

    width: float = setting(1.0, "width", search=uniform(0.5, 2.0))
    depth: float = setting(1.0, "depth", search=LIVE)
    size: int = setting(3, "size")


def test_a_strangers_component_declares_what_may_be_searched(registry):
    from lfads_core.plugins import AugmentationSpec, Registry, hookimpl
    from lfads_plugins_std import plugin as standard
    from lfads_plugins_tune import plugin as tune

    class Plugin:
        @staticmethod
        @hookimpl
        def lfads_augmentations():
            yield AugmentationSpec(name="mine", summary="Mine", config=Mine, build=lambda _: None)

    both = Registry.from_plugins({"core": builtin, "std": standard, "tune": tune, "mine": Plugin})
    overrides = ["components.train_augmentations=[mine]"]
    assert "components.train_augmentations.mine.width" in spaces("pbt", registry=both, overrides=overrides)
    assert "components.train_augmentations.mine.depth" in spaces(
        "pbt", "components.train_augmentations.mine.depth=uniform:0:1", registry=both, overrides=overrides
    )
    with pytest.raises(ConfigError, match=re.escape(NOT_LIVE)):
        spaces("pbt", "components.train_augmentations.mine.size=int:1:4", registry=both, overrides=overrides)


def test_each_kind_begins_from_its_own_defaults_and_the_users_settings_win(registry):
    config = resolve_base("pbt", [], [], [], {}, registry)
    assert (config.optim.decay, config.optim.min_lr, config.train.early_stopping) == (1.0, 0.0, None)
    assert resolve_base("pbt", [], [], ["optim.decay=0.9"], {}, registry).optim.decay == 0.9
    assert resolve_base("random", [], [], [], {}, registry).train.early_stopping == "auto"
    assert {spec.name for spec in registry.all(SearchSpec)} == {"pbt", "random", "grid", "sha", "tpe"}


RAMPS = ("regularisation.kl_ramp.increase_epochs=80", "regularisation.l2_ramp.increase_epochs=80")


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (["train.minutes=3"], "random", "train.minutes: must be null in a search, got 3. Limit the search itself with search.minutes."),
        (
            ["train.epochs=50", *RAMPS],
            "pbt",
            (
                "search.burn_in: must end before the search does, after train.epochs (50), got 80 epochs, when the ramps have ended. "
                "Train longer, or shorten the ramps or the burn-in."
            ),
        ),
        (
            ["train.epochs=50", "search.burn_in=60"],
            "pbt",
            (
                "search.burn_in: must end before the search does, after train.epochs (50), got 60 epochs. "
                "Train longer, or shorten the ramps or the burn-in."
            ),
        ),
    ],
)
def test_a_search_that_cannot_end_well_is_refused(overrides, kind, message, registry):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resolve_search(kind, resolve_base(kind, [], [], overrides, {}, registry), "valid/masked_smooth", "masked", registry)


def test_generations_are_laid_out_after_the_burn_in(registry):
    base = resolve_base("pbt", [], [], ["search.generations=3", "search.interval=30", "train.metrics_every=5", *RAMPS], {}, registry)
    ready = resolve_search("pbt", base, "valid/masked_smooth", "masked", registry)
    assert (ready.burn_in, ready.targets, ready.base.train.epochs) == (80, (20, 50, 80, 110, 140, 170), 170)
    assert ready.base.validation.judge == "masked"


def test_a_search_section_that_is_off_is_asked_for(registry):
    with pytest.raises(ConfigError, match=r"^search: must be on for a search, got null\. Leave it out for its defaults\.$"):
        resolve_base("pbt", [], [], ["search=null"], {}, registry)
