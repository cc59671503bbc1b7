"""`lfads plugins list` and `lfads plugins show`."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from lfads_core import __version__
from lfads_core.cli.main import cli
from lfads_core.plugins import Registry

PLUGIN = """
    import attrs
    from lfads_core.config.fields import above, setting
    from lfads_core.plugins import AugmentationSpec, MetricSpec, PriorSpec, RecipeSpec, SyntheticSpec, hookimpl

    @attrs.frozen(kw_only=True)
    class Edge:
        width: int = setting(3, "width of the edge", rule=above(0), unit="bins")

    @attrs.frozen(kw_only=True)
    class TentConfig:
        slope: float = setting(0.5, "steepness of the tent", rule=above(0), tune="often")
        top: float | None = setting(None, "height (null: none)")
        edge: Edge = setting(Edge, "the edge")

    @attrs.frozen(kw_only=True)
    class PlainConfig:
        rate: float
        size: int = attrs.field(default=2, validator=attrs.validators.gt(0))

    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="tent", summary="A [bold] tent", config=TentConfig, build=print, cites=("someone2020", "other2021"))

    @hookimpl
    def lfads_augmentations():
        yield AugmentationSpec(name="tent", summary="Fold the batch", config=PlainConfig, build=print)

    @hookimpl
    def lfads_recipes():
        yield RecipeSpec(name="camp", summary="Tents", settings={"components": {"input_prior": "tent"}, "model": {"dropout": 0.1}})

    @hookimpl
    def lfads_synthetics():
        yield SyntheticSpec(name="dune", summary="Sand", config=TentConfig, generate=print)

    @hookimpl
    def lfads_metrics():
        yield MetricSpec(name="height", summary="How high", compute=print)

    @hookimpl
    def lfads_run_started(run): ...
"""


def plugins(*arguments: str):
    return CliRunner().invoke(cli, ["plugins", *arguments])


def test_list_shows_kind_name_summary_and_provider(install):
    install("camping", PLUGIN, version="0.7")
    result = plugins("list")
    assert result.exit_code == 0
    rows = [line.split(None, 2) for line in result.stdout.splitlines()]
    assert [*rows[0][:2], *rows[0][2].split()] == ["kind", "name", "summary", "from"]
    theirs = [row for row in rows[1:] if row[-1].split()[-2:] == ["camping", "0.7"]]
    assert [row[:2] for row in theirs] == [
        ["prior", "tent"],
        ["augmentation", "tent"],
        ["recipe", "camp"],
        ["synthetic", "dune"],
        ["metric", "height"],
    ]
    assert "A [bold] tent" in result.stdout
    assert "listens to lfads_run_started: camping 0.7 (entry point 'camping')" in result.stdout


def test_the_help_documents_the_variable():
    assert "LFADS_PLUGINS=std,calcium; empty loads none" in " ".join(plugins("--help").stdout.split())


def test_list_ends_with_what_is_wrong_and_still_succeeds(install):
    install("camping", PLUGIN)
    install("hiking", PLUGIN, version="2.0")
    install("wet", "import nowhere_to_be_found")
    install("idle", "")
    result = plugins("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "offers nothing: idle 1.0 (entry point 'idle')" in lines
    assert lines[-1] == "broken, left out: wet 1.0 (entry point 'wet'): ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert (
        "clash: 2 plugins offer the metric 'height': camping 1.0 (entry point 'camping') and hiking 2.0 (entry point 'hiking'). "
        "Uninstall one of them, or leave one out by listing the entry points you want in LFADS_PLUGINS."
    ) in lines
    assert sum(line.startswith("clash: ") for line in lines) == 5


def test_list_without_plugins_says_what_to_install(install, monkeypatch):
    install("camping", PLUGIN)
    monkeypatch.setenv("LFADS_PLUGINS", "")
    lines = plugins("list").stdout.splitlines()
    assert "No component is installed beside core's own. The standard ones: pip install lfads-plugins-std" in lines
    assert "left out by LFADS_PLUGINS: camping 1.0 (entry point 'camping')" in lines


def test_a_wrong_variable_is_one_message(install, monkeypatch):
    install("camping", PLUGIN)
    monkeypatch.setenv("LFADS_PLUGINS", "campign")
    result = plugins("list")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: LFADS_PLUGINS: every name must be an installed entry point, got 'campign'. Did you mean 'camping'?")


def test_the_json_list_has_every_field(install):
    install("camping", PLUGIN, version="0.7")
    install("wet", "raise ValueError('no')")
    data = json.loads(plugins("list", "--json").stdout)
    assert set(data) == {"components", "plugins", "left_out", "faults", "clashes"}
    tent = data["components"][0]
    origin = {"distribution": "camping", "version": "0.7", "entry_point": "camping"}
    slope = {"path": "slope", "default": 0.5, "rule": "> 0", "unit": "", "meaning": "steepness of the tent", "tune": "often"}
    assert tent == {
        "kind": "prior",
        "name": "tent",
        "summary": "A [bold] tent",
        **origin,
        "cites": ["someone2020", "other2021"],
        "settings": [
            slope,
            {"path": "top", "default": None, "rule": "", "unit": "", "meaning": "height (null: none)", "tune": "rarely"},
            {"path": "edge.width", "default": 3, "rule": "> 0", "unit": "bins", "meaning": "width of the edge", "tune": "rarely"},
        ],
    }
    core = {"distribution": "lfads-core", "version": __version__, "entry_point": "core", "notifications": []}
    assert data["plugins"] == [core, {**origin, "notifications": ["lfads_run_started"]}]
    assert data["faults"] == [{"distribution": "wet", "version": "1.0", "entry_point": "wet", "reason": "ValueError: no"}]
    assert data["clashes"] == []


def test_the_json_list_tells_clashes(install):
    install("camping", PLUGIN)
    install("hiking", PLUGIN)
    clash = json.loads(plugins("list", "--json").stdout)["clashes"][0]
    assert (clash["kind"], clash["name"], [p["distribution"] for p in clash["providers"]]) == ("prior", "tent", ["camping", "hiking"])
    assert clash["message"].startswith("2 plugins offer the prior 'tent': camping 1.0 ")


def snippets(text: str) -> list[str]:
    """What stands after each `use:`, dedented."""
    found, current = [], None
    for line in text.splitlines():
        if line == "  use:":
            current = []
            found.append(current)
        elif current is not None and line.startswith("    "):
            current.append(line[4:])
        else:
            current = None
    return ["\n".join(lines) for lines in found]


def test_show_tells_everything_of_one_name_across_kinds(install):
    install("camping", PLUGIN)
    text = plugins("show", "tent").stdout
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[:4] == ["prior tent", "  A [bold] tent", "  from camping 1.0 (entry point 'camping')", "  cites someone2020, other2021"]
    assert "augmentation tent" in lines
    cells = [line.split() for line in lines]
    assert ["setting", "default", "must", "be", "unit", "meaning", "tuned"] in cells
    assert ["slope", "0.5", ">", "0", "steepness", "of", "the", "tent", "often"] in cells
    assert ["edge.width", "3", ">", "0", "bins", "width", "of", "the", "edge", "rarely"] in cells
    assert next(row for row in cells if row[:1] == ["top"])[1] == "null"
    assert next(row for row in cells if row[:1] == ["rate"])[1] == "(required)"
    assert ["size", "2", "x", ">", "0"] in cells  # a plain attrs class says what it can


def test_the_yaml_of_show_can_be_pasted(install):
    install("camping", PLUGIN)
    prior, augmentation = map(yaml.safe_load, snippets(plugins("show", "tent").stdout))
    chosen = {"name": "tent", "slope": 0.5, "top": None, "edge": {"width": 3}}
    assert prior == {"components": {"ic_prior": chosen, "input_prior": chosen}}
    listed = [{"name": "tent", "rate": "(required)", "size": 2}]
    assert augmentation == {"components": {"train_augmentations": listed, "infer_augmentations": listed}}


@pytest.mark.parametrize(
    ("name", "snippet"),
    [
        ("camp", "# lfads run DATA --plugin camp   stands for\ncomponents:\n  input_prior: tent\nmodel:\n  dropout: 0.1"),
        ("dune", "lfads synth dune"),
        ("height", "# nothing to do: used by itself wherever it applies"),
    ],
)
def test_show_says_how_each_kind_is_used(install, name, snippet):
    install("camping", PLUGIN)
    assert snippets(plugins("show", name).stdout) == [snippet]


def test_show_of_an_unknown_name_is_one_message(install):
    install("camping", PLUGIN)
    result = plugins("show", "tents")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no plugin named 'tents'. Did you mean 'tent'? Installed: ")
    listed = result.stderr.removesuffix(".\n").partition("Installed: ")[2].split(", ")
    assert listed == sorted({entry.spec.name for entry in Registry.from_installed().entries})
    assert {"camp", "dune", "height", "tent"} < set(listed)


def test_show_of_a_clashing_name_shows_both(install):
    install("camping", PLUGIN)
    install("hiking", PLUGIN)
    text = plugins("show", "camp").stdout
    assert "from camping 1.0 (entry point 'camping')" in text
    assert "from hiking 1.0 (entry point 'hiking')" in text
