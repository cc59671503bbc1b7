"""`lfads plugins check`: a table of laws, and exit code 2 where one is broken."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli

HEAD = """
    import torch
    from lfads_core.components import AbstractPrior
    from lfads_core.plugins import NoSettings, PriorSpec, hookimpl

    class Unit(AbstractPrior):
        def kl(self, mean, std, draw):
            return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).flatten(1).sum(1)

        def generate(self, like, rng):
            return torch.empty_like(like).normal_(generator=rng)

    class Loud(Unit):
        def draw(self, like, rng):
            return {"normal": torch.randn_like(like)}

    @hookimpl
    def lfads_priors():
"""
GOOD = HEAD + '        yield PriorSpec(name="unit", summary="Unit", config=NoSettings, build=lambda settings, dimensions: Unit())\n'
LOUD = HEAD + '        yield PriorSpec(name="loud", summary="Loud", config=NoSettings, build=lambda settings, dimensions: Loud())\n'


def check(*arguments: str):
    return CliRunner().invoke(cli, ["plugins", "check", *arguments])


def test_a_component_of_ours_obeys_every_law():
    result = check("coordinated-dropout")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("plugin lfads-plugins-std 0.1.0")
    assert lines[1] == "  ok      importing it loads nothing heavy"
    assert lines[4] == "augmentation coordinated-dropout"
    assert "  ok      nothing is remembered between calls" in lines
    assert lines[-1] == "all 18 laws hold"


@pytest.mark.long
@pytest.mark.parametrize(("name", "exit_code"), [("loud", 2), ("noise", 2), ("Noise", 2)])
def test_a_broken_one_is_found_by_its_name_or_that_of_its_distribution(install, name, exit_code):
    install("noise", LOUD)
    result = check(name)
    assert result.exit_code == exit_code
    assert "  fault   chance comes from the given generator alone\n            draw used torch's global generator\n" in result.stdout
    assert "  fault   importing it loads nothing heavy\n            noise_" in result.stdout
    assert "must not import torch. Import them in the functions that use them" in result.stdout
    assert f"error: {name}: must obey all 19 laws, but 2 are broken or could not be tried." in result.stderr


@pytest.mark.long
def test_what_was_not_tried_is_told(install):
    install("noise", GOOD.replace("Unit())", "torch.nn.Identity())"))
    result = check("unit")
    assert "  untried gradients are finite differences" in result.stdout
    assert "  fault   building gives an equal prior each time" in result.stdout


def test_a_distribution_that_is_broken_or_not_there_is_told_in_one_line(install):
    install("noise", "raise RuntimeError('bang')")
    result = check("noise")
    assert (result.exit_code, result.stderr) == (2, "error: noise 1.0 (entry point 'noise'): RuntimeError: bang\n")
    result = check("silence")
    assert result.exit_code == 2
    assert "no plugin named 'silence'" in result.stderr


def test_a_reader_is_given_a_file(install, tmp_path):
    install(
        "npz",
        """
        from lfads_core.plugins import DataReaderSpec, hookimpl

        def read(path):
            raise ValueError("cannot")

        @hookimpl
        def lfads_data_readers():
            yield DataReaderSpec(name="npz", summary="s", matches=lambda path: path.suffix == ".npz", read=read)
        """,
    )
    assert check("npz").exit_code == 0
    result = check("npz", "--file", str(tmp_path / "a.npz"))
    assert result.exit_code == 2
    assert "raised ValueError: cannot" in result.stdout


@pytest.mark.long
def test_what_prints_is_slow_or_has_a_mutable_default_is_told(install, tmp_path):
    source = """
        import time
        from attrs import frozen
        from lfads_core.plugins import RecipeSpec, SyntheticSpec, hookimpl
        from lfads_core.config.fields import setting

        print("hello")
        time.sleep(2.2)

        @frozen(kw_only=True)
        class Settings:
            sizes: list = setting([], "sizes")

        @hookimpl
        def lfads_synthetics():
            yield SyntheticSpec(name="loud", summary="Loud", config=Settings, generate=lambda *_: {})
        """
    module = install("loud", source)
    result = check("loud")
    assert f"{module} must not print, got 'hello'" in result.stdout
    assert f"{module} must be imported within 2 s, got 2." in result.stdout
    assert "Settings: the default of 'sizes' must not be mutable, for all settings share it, got []. Give a tuple" in result.stdout
    for name in [name for name in sys.modules if name.startswith("loud_")]:
        del sys.modules[name]
    listed = CliRunner().invoke(cli, ["plugins", "list", "--json"])
    assert json.loads(listed.stdout)["faults"] == []
    for name in [name for name in sys.modules if name.startswith("loud_")]:
        del sys.modules[name]
    shown = CliRunner().invoke(cli, ["plugins", "list"]).stdout.splitlines()
    assert "loud 1.0 (entry point 'loud'): prints when it is loaded, which is kept from standard output: 'hello'" in shown
    assert any(line.startswith("loud 1.0 (entry point 'loud'): takes 2.") for line in shown)
