"""What ``lfads config`` says, and the page made of the schema."""

import re
import subprocess
import sys

import click
import pytest
from attrs import frozen
from click.testing import CliRunner

from lfads_core.cli.config import command
from lfads_core.cli.main import cli
from lfads_core.config.explain import Explanation, entry, explain, reference_page
from lfads_core.config.fields import at_least, between, one_of, setting
from lfads_core.config.groups import run_config_class
from lfads_core.config.places import places
from lfads_core.config.schema import RunConfig
from lfads_core.config.structure import structure
from lfads_core.errors import ConfigError
from lfads_core.plugins import load_registry
from lfads_core.plugins.registry import Registry


@pytest.fixture
def lfads(with_commands, monkeypatch, tmp_path):
    monkeypatch.setattr(Registry, "from_installed", lambda: with_commands)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, ["config", *args])


def keys(key, registry):
    return [e.key for e in explain(key, registry)]


def test_one_setting_is_explained_in_full(registry):
    assert explain("train.early_stopping", registry) == [
        Explanation(
            key="train.early_stopping",
            type="a whole number or auto or null",
            default="auto",
            rule=">= 1",
            unit="epochs",
            meaning="epochs without a better smoothed validation cost, after the ramps (auto: 600 steps; null: never)",
            tuning="rarely",
        )
    ]
    assert explain("train.early_stopping", registry)[0].must_be == "a whole number or auto or null, >= 1"


def test_the_end_of_a_path_is_enough(registry):
    assert keys("lr", registry) == ["optim.lr"]
    assert keys("controller.hidden", registry) == ["model.controller.hidden"]
    starts = ["regularisation.kl_ramp.start_epoch", "regularisation.l2_ramp.start_epoch", "train.prune.start_epoch"]
    assert keys("start_epoch", registry) == starts


def test_a_group_is_explained_with_everything_in_it(registry):
    hold_out = ["data.hold_out", "data.hold_out.fraction", "data.hold_out.seed"]
    assert keys("data", registry) == ["data", "data.batch_size", "data.passes", *hold_out, "data.memory_gb"]
    assert explain("data", registry)[0].is_group
    assert len(explain(None, registry)) == len(places()) > 60


def test_a_component_is_explained_in_its_place(registry):
    assert keys("components.reconstruction.zig-loss.gamma_loc", registry) == ["components.reconstruction.zig-loss.gamma_loc"]
    assert keys("zig-loss.window", registry)[1:] == [
        "components.reconstruction.zig-loss.window.start",
        "components.reconstruction.zig-loss.window.stop",
    ]
    assert keys("sized", registry) == [
        "components.ic_prior.sized",
        "components.ic_prior.sized.size",
        "components.input_prior.sized",
        "components.input_prior.sized.size",
    ]
    (gamma,) = explain("zig-loss.gamma_loc", registry)
    assert (gamma.default, gamma.rule, gamma.unit, gamma.tuning) == ("0.1", "> 0", "a.u.", "often")
    head, size = explain("components.ic_prior.sized", registry)
    assert (head.type, head.meaning, size.default, size.meaning) == ("a prior", "A prior", "none: must be given", "how many")


def test_rules_of_plain_attrs_are_shown_too(registry):
    (both,) = explain("every.both", registry)
    assert both.rule == "> 0 and < 1"


def test_a_recipe_is_explained_by_what_it_sets(registry):
    assert [(e.key, e.default) for e in explain("zig", registry)] == [
        ("--plugin zig", ""),
        ("components.reconstruction", "{'name': 'zig-loss', 'gamma_loc': 0.2}"),
        ("components.train_augmentations", "[sbtt, {'name': 'coordinated-dropout', 'rate': 0.5}]"),
        ("optim.lr", "0.001"),
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("optim.lrr", "optim.lrr: no setting is called so. Did you mean optim.lr or optim.min_lr?"),
        ("smothing", "smothing: no setting is called so. Did you mean train.smoothing?"),
        ("components.reconstruction.zig-loss.gama_loc", "components.reconstruction.zig-loss.gama_loc: no such setting. Did you mean gamma_loc?"),
        ("zig.gamma_loc", "zig.gamma_loc: a recipe has no settings of its own, its components have. `lfads config explain zig` names them."),
        ("zig-loss.zzz", "components.reconstruction.zig-loss.zzz: no such setting. Known here: gamma_loc, scale, window"),
        ("poisson.rate", "components.reconstruction.poisson.rate: no such setting. Known here: nothing"),
        ("components.ic_prior.sizd", "components.ic_prior: no prior named 'sizd'. Did you mean 'sized'?"),
        ("zig-lss", "zig-lss: no setting is called so. As a plugin: no plugin named 'zig-lss'. Did you mean 'zig-loss'"),
    ],
)
def test_an_unknown_key_lists_near_misses(registry, key, message):
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        explain(key, registry)


def test_every_setting_of_the_schema_has_a_meaning_and_its_numbers_a_rule(registry):
    for place in places():
        said = entry(place)
        assert said.meaning, place.path
        assert said.is_group or said.tuning in ("often", "sometimes", "rarely")
        if place.setting.type in (int, int | None):
            assert said.rule, place.path


def test_the_page_in_docs_is_up_to_date(root):
    assert (root / "docs" / "config.md").read_text() == reference_page(), "run: python -m lfads_core.config.explain > docs/config.md"


def test_the_page_is_printed_without_loading_torch():
    code = "import runpy, sys; runpy.run_module('lfads_core.config.explain', run_name='__main__'); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == reference_page()


def test_the_page_holds_every_setting_once():
    page = reference_page()
    for place in places(run_config_class(load_registry())):
        heading = f" {'.'.join(map(str, place.path))}\n"
        assert (heading in page) == (place.setting.group is not None)
    assert page.count("\n| `") == len([p for p in places(run_config_class(load_registry())) if len(p.path) > 1])


def test_show_prints_the_settings_of_a_run(lfads, tmp_path):
    (tmp_path / "mine.yaml").write_text("optim: {lr: 0.02}\n")
    done = lfads("show", "mine.yaml", "--plugin", "zig", "--set", "train.seed=3", "--set", "data.hold_out.seed=1")
    assert done.exit_code == 0, done.output
    assert "\n    name: zig-loss\n    gamma_loc: 0.2\n" in done.output
    assert "\n  lr: 0.02\n" in done.output
    (tmp_path / "again.yaml").write_text(done.output)
    assert lfads("show", "again.yaml").output == done.output


def test_check_is_content_with_good_files(lfads, tmp_path):
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.yaml").write_text("model: {controller: null}\n")
    done = lfads("check", "a.yaml", "b.yaml")
    assert (done.exit_code, done.output) == (0, "a.yaml: ok\nb.yaml: ok\n")


def test_check_lists_the_faults_of_every_file_and_exits_with_2(lfads, tmp_path):
    (tmp_path / "a.yaml").write_text("optim:\n  lr: -1\n  epz: 1\n")
    (tmp_path / "b.yaml").write_text("train: {seed: 1}\n")
    done = lfads("check", "a.yaml", "b.yaml", "c.yaml")
    assert done.exit_code == 2
    assert done.stdout == "b.yaml: ok\n"
    assert done.stderr == (
        "error: a.yaml:2: optim.lr: must be > 0, got -1.0\n"
        "a.yaml:3: optim.epz: no such setting. Did you mean optim.eps?\n"
        "c.yaml: must be a readable file, got: No such file or directory. Check the path.\n"
    )


def test_explain_prints_one_setting_as_a_block(lfads):
    assert (
        lfads("explain", "lr").output
        == "optim.lr\n  initial learning rate\n  type     a number\n  default  0.004\n  rule     > 0\n  tuned    often\n"
    )
    assert lfads("explain", "every.word").output == "components.reconstruction.every.word\n  type     text\n  default  ''\n  tuned    rarely\n"


def test_explain_prints_a_group_as_a_table(lfads):
    head, *rows = lfads("explain", "optim").output.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["setting", "default", "must be", "unit", "tuned", "meaning"]
    assert re.split(r"\s{2,}", rows[2].strip()) == ["optim.betas", "[0.9, 0.999]", "a list of 2 numbers", "rarely", "decay of the running moments"]
    assert len(rows) == 12


def test_a_terminal_gets_a_table_of_its_own_width(lfads, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "70")
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lfads("explain").output.splitlines()) <= 70


def test_explain_of_something_unknown_exits_with_2(lfads):
    done = lfads("explain", "optim.lrr")
    assert (done.exit_code, done.stderr) == (2, "error: optim.lrr: no setting is called so. Did you mean optim.lr or optim.min_lr?\n")


def test_the_commands_help_loads_no_torch():
    use = "import sys; from lfads_core.cli.config import command; command(['--help'], standalone_mode=False)"
    code = f"{use}; assert not {{'torch', 'rich'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Show, explain, check and import settings." in done.stdout
    assert set(command.commands) == {"show", "explain", "check"}
    assert set(command.list_commands(click.Context(command))) == {"show", "explain", "check", "import"}


@pytest.mark.parametrize(
    ("rule", "text", "good", "bad"),
    [
        (at_least(1), ">= 1", 1, 0.5),
        (between(0, 1), "from 0 to 1", 1, 1.5),
        (one_of("mean", "sum"), "one of mean, sum", "sum", "total"),
    ],
)
def test_a_rule_says_what_must_hold(rule, text, good, bad):
    rule(object(), _attribute(), good)
    rule(object(), _attribute(), None)  # off
    with pytest.raises(ValueError, match=f"^must be {re.escape(text)}, got {re.escape(repr(bad))}$"):
        rule(object(), _attribute(), bad)


def _attribute():
    import attrs

    return attrs.fields(_Ruled).x


@frozen
class _Ruled:
    x: int = setting(1, "any number")


def test_the_defaults_of_the_schema_pass_their_own_rules():
    assert RunConfig().rules() == []


def test_an_order_of_chosen_augmentations_is_in_order(registry):
    assert structure({"components": {"loss_order": ["coordinated-dropout"]}}, registry).components.loss_order == ("coordinated-dropout",)
