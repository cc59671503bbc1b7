"""One set of settings from defaults, plugins, files and the command line."""

import pytest

from lfads_core.config.load import resolve
from lfads_core.config.structure import unstructure
from lfads_core.errors import ConfigError


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="lfads.yaml"):
        (tmp_path / name).write_text(text)
        return (tmp_path / name).relative_to(tmp_path)

    return write


@pytest.fixture
def settle(registry):
    return lambda files=(), plugins=(), overrides=(): resolve(files, plugins, overrides, registry)


@pytest.fixture
def wrong(settle):
    def lines(files=(), plugins=(), overrides=()):
        with pytest.raises(ConfigError) as err:
            settle(files, plugins, overrides)
        return str(err.value).split("\n")

    return lines


def test_what_comes_later_wins(file, settle):
    one, two = file("optim: {lr: 0.02, eps: 1e-7}\ntrain: {seed: 1}\n"), file("train: {seed: 2}\n", "two.yaml")
    config = settle([one, two], ["zig"], ["train.seed=3", "train.seed=4"])
    assert (config.optim.lr, config.optim.eps, config.train.seed) == (0.02, 1e-7, 4)
    assert (config.components.reconstruction.name, config.components.reconstruction.settings.gamma_loc) == ("zig-loss", 0.2)
    assert settle([], ["zig"]).optim.lr == 1e-3


def test_a_recipe_brings_its_components_with_their_settings(settle):
    first, second = settle([], ["zig"]).components.train_augmentations
    assert (first.name, second.name, second.settings.rate, second.settings.ceiling) == ("sbtt", "coordinated-dropout", 0.5, 0.9)


def test_naming_another_component_forgets_the_settings_of_the_first(settle, file):
    assert settle([file("components: {reconstruction: poisson}")], ["zig"]).components.reconstruction.name == "poisson"
    assert settle([], ["zig"], ["components.reconstruction.name=poisson"]).components.reconstruction.name == "poisson"
    assert settle([], ["zig"], ["components.reconstruction={name: every, count: 4}"]).components.reconstruction.settings.count == 4
    assert (
        settle([], ["zig"], ["components.reconstruction=poisson", "components.reconstruction=zig-loss"]).components.reconstruction.settings.gamma_loc
        == 0.1
    )


def test_naming_the_same_component_again_keeps_its_settings(settle, file):
    assert settle([file("components: {reconstruction: zig-loss}")], ["zig"]).components.reconstruction.settings.gamma_loc == 0.2
    text = "components: {reconstruction: {name: zig-loss, scale: 2}}"
    reconstruction = settle([file(text)], ["zig"], ["components.reconstruction.window.start=3"]).components.reconstruction.settings
    assert (reconstruction.gamma_loc, reconstruction.scale, reconstruction.window.start, reconstruction.window.stop) == (0.2, 2.0, 3, None)


def test_overrides_reach_into_lists(settle, file):
    config = settle([], ["zig"], ["components.train_augmentations.1.rate=0.7", "optim.betas.0=0.5"])
    assert config.components.train_augmentations[1].settings.rate == 0.7
    assert config.optim.betas == (0.5, 0.999)
    config = settle([file("components: {train_augmentations: [sbtt, coordinated-dropout]}")], [], ["components.train_augmentations.1.rate=0.7"])
    assert config.components.train_augmentations[1].settings.rate == 0.7
    config = settle([], ["zig"], ["components.train_augmentations.1=sbtt", "components.train_augmentations.0={name: coordinated-dropout, rate: 0}"])
    assert [c.name for c in config.components.train_augmentations] == ["coordinated-dropout", "sbtt"]


def test_lists_replace_lists(settle):
    assert settle([], ["zig"], ["components.train_augmentations=[]"]).components.train_augmentations == ()
    assert settle([], [], ["optim.betas=[0.1, 0.2]"]).optim.betas == (0.1, 0.2)


def test_null_turns_a_group_off_and_a_key_inside_turns_it_on_with_its_defaults(settle, file):
    off = file("model:\n  controller: null\n")
    assert settle([off]).model.controller is None
    controller = settle([off, file("model: {controller: {inputs: 2}}", "on.yaml")]).model.controller
    assert (controller.inputs, controller.hidden) == (2, 80)
    assert settle([], [], ["model.controller.hidden=9", "model.controller=null", "model.controller.inputs=3"]).model.controller.hidden == 80
    hold_out = settle([], [], ["data.hold_out.fraction=0.5"]).data.hold_out
    assert (hold_out.fraction, hold_out.seed) == (0.5, 0)
    assert settle([], [], ["data.hold_out={}"]).data.hold_out.fraction == 0.25
    assert settle([], [], ["components.readin.name=linear"]).components.readin.name == "linear"


def test_numbers_are_read_in_both_spellings(settle):
    assert settle([], [], ["optim.lr=1e-4"]).optim.lr == settle([], [], ["optim.lr = 1.0e-4 "]).optim.lr == 1e-4


def test_a_component_named_alone_takes_its_place(settle):
    config = settle([], ["zig-loss", "sbtt", "crop"])
    assert config.components.reconstruction.settings.gamma_loc == 0.1
    assert [c.name for c in config.components.train_augmentations] == ["coordinated-dropout", "sbtt"]
    assert (config.components.readin.name, config.components.readout.name) == ("crop", "linear")
    assert settle([], ["linear"]).components.readin.name == "linear"  # a read-in and a read-out: both
    again = settle([], ["zig", "sbtt", "coordinated-dropout"]).components.train_augmentations
    assert [c.name for c in again] == ["sbtt", "coordinated-dropout"]  # no augmentation twice
    assert again[1].settings.rate == 0.5


def test_a_component_with_several_places_asks_which(wrong):
    places = (
        "--set components.ic_prior=normal, --set components.input_prior=normal, "
        "--set components.train_augmentations=[normal] or --set components.infer_augmentations=[normal]"
    )
    assert wrong([], ["sized", "normal"]) == [
        "--plugin sized: must have one place, got a prior. Say which: --set components.ic_prior=sized or --set components.input_prior=sized",
        f"--plugin normal: must have one place, got a prior and an augmentation. Say which: {places}",
    ]


def test_an_unknown_plugin_is_one_fault_among_the_others(wrong, file):
    first, second = wrong([file("optim: {lr: -1}")], ["zigg"])
    assert first.startswith("--plugin: no plugin named 'zigg'. Did you mean 'zig'")
    assert second == "lfads.yaml:1: optim.lr: must be > 0, got -1.0"


TEST_PLUGIN = "test-plugin 0 (entry point 'test-plugin')"


def test_a_wrong_recipe_is_told_by_its_name_and_its_package(wrong):
    assert wrong([], ["wrong"]) == [
        f"recipe wrong of {TEST_PLUGIN}: components.train_augmentations.0: must be the name of an augmentation, with its settings if any, got 3",
        (
            f"recipe wrong of {TEST_PLUGIN}: optim.learning_rate: no such setting. Known here: lr, betas, eps, weight_decay, clip_norm, "
            "schedule, warmup_epochs, step_epochs, decay, patience, min_lr"
        ),
    ]
    assert wrong([], ["bare"]) == [
        f"recipe bare of {TEST_PLUGIN}: components: must be a group of settings, got null. Leave the key out for its defaults"
    ]


def test_a_component_named_after_a_recipe_that_turned_everything_off_turns_it_on(settle):
    components = settle([], ["bare", "sbtt"]).components
    assert [c.name for c in components.train_augmentations] == ["sbtt"]
    assert components.reconstruction.name == "poisson"


def test_every_fault_of_every_place_is_told_in_the_order_of_lines(wrong, file):
    text = "train:\n  seed: -1\n  sead: 0\n\noptim:\n  lr: 4.0.0\n  clip_norm: off\nmodel:\n  controller:\n    hidden: -3\n"
    bad = file("optim: [\n", "bad.yaml")
    overrides = [
        "optim.eps=x",
        "model.generator.factor=3",
        "nonsense",
        "optim.lr=[1",
        "components.train_augmentations.2.rate=0.1",
        "optim..lr=3",
        "train.seed=",
    ]
    assert wrong([file(text), bad], [], overrides) == [
        "bad.yaml:2: must be YAML, got: while parsing a flow node, expected the node content, but found '<stream end>'.",
        "--set: optim.lr: must be YAML, got: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'.",
        "--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got 'nonsense'",
        "--set: components.train_augmentations.2.rate: must lead to an entry by name or number, one of coordinated-dropout, got '2'",
        "--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got 'optim..lr=3'",
        "--set: must be KEY=VALUE such as optim.lr=1e-3, or KEY=null for off, got 'train.seed='",
        "--set: model.generator.factor: no such setting. Did you mean model.generator.factors?",
        "--set: optim.eps: must be a number, got 'x'",
        "lfads.yaml:2: train.seed: must be >= 0, got -1",
        "lfads.yaml:3: train.sead: no such setting. Did you mean train.seed?",
        "lfads.yaml:6: optim.lr: must be a number, got '4.0.0'",
        "lfads.yaml:7: optim.clip_norm: must be a number or null, got false. Off is null",
        "lfads.yaml:10: model.controller.hidden: must be >= 1, got -3",
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optim.lr.x=3", "--set: optim.lr: must be a number, got {'x': 3}"),
        ("optim.betas.x=3", "--set: optim.betas.x: must lead to an entry by its number, from 0 to 1, got 'x'"),
        ("optim.betas.²=3", "--set: optim.betas.²: must lead to an entry by its number, from 0 to 1, got '²'"),
        (
            "components.infer_augmentations.0=sbtt",
            "--set: components.infer_augmentations.0: must lead to an entry by its number, but the list is empty, got '0'",
        ),
        ("components.reconstruction.rate=3", "--set: components.reconstruction.rate: no such setting of reconstruction 'poisson'. Known here: name"),
        ("components.readin.width=3", "--set: components.readin: must say which readin by its name, got {'width': 3}"),
        ("components=null", "--set: components: must be a group of settings, got null. Leave the key out for its defaults"),
        ("optim.clip_norn=null", "--set: optim.clip_norn: no such setting. Did you mean optim.clip_norm?"),
        ("optim.lr=1e-6", "optim.min_lr: must be below optim.lr (1e-06), got 1e-05"),
    ],
)
def test_an_override_that_leads_nowhere_says_where_it_might_lead(wrong, override, line):
    assert wrong([], [], [override]) == [line]


@pytest.mark.parametrize("way", ["coordinated-dropout", "1"])
def test_an_entry_of_a_list_is_reached_by_its_components_name_or_its_number(settle, wrong, way):
    chosen = "components.train_augmentations=[sbtt, {name: coordinated-dropout, rate: 0.2}]"
    found = settle([], [], [chosen, f"components.train_augmentations.{way}.rate=0.6"])
    first, dropout = found.components.train_augmentations
    assert (first.name, dropout.name, dropout.settings.rate) == ("sbtt", "coordinated-dropout", 0.6)
    assert wrong([], [], [chosen, f"components.train_augmentations.{way}.rate=3"]) == [
        "--set: components.train_augmentations.1.rate: must be >= 0 and < 1, got 3.0"
    ]


def test_a_component_that_is_there_twice_is_reached_by_its_number_alone(wrong):
    twice = "components.train_augmentations=[sbtt, sbtt]"
    assert wrong([], [], [twice, "components.train_augmentations.sbtt.width=1"])[0] == (
        "--set: components.train_augmentations.sbtt.width: must lead to an entry by its number, for the name is there 2 times, got 'sbtt'"
    )


def test_an_override_of_a_whole_entry_takes_over_the_blame_for_it(wrong, file):
    text = "components:\n  train_augmentations:\n    - name: coordinated-dropout\n      rate: 0.2\noptim:\n  eps: -1\n  lr: 1\n"
    overrides = ["components.train_augmentations.0={name: coordinated-dropout, rate: 3}", "optim={lr: -2}"]
    assert wrong([file(text)], [], overrides) == [
        "--set: components.train_augmentations.0.rate: must be >= 0 and < 1, got 3.0",
        "--set: optim.lr: must be > 0, got -2.0",
        "lfads.yaml:6: optim.eps: must be > 0, got -1.0",
    ]


def test_the_resolved_settings_resolve_to_themselves(settle, file):
    from lfads_core.config.yaml_io import dump

    config = settle([], ["zig"], ["data.hold_out.seed=4", "optim.lr=1e-3"])
    assert settle([file(dump(config))]) == config
    assert settle([file(dump(config))], ["crop"], []) == config  # the file wins over the plugin
    assert unstructure(config)["data"]["hold_out"] == {"fraction": 0.25, "seed": 4}
