"""Plugins as they lie on disk: each fault is told in one line and takes nobody else down."""

from __future__ import annotations

import re
import sys

import pytest

from lfads_core import __version__
from lfads_core.errors import PluginError
from lfads_core.plugins import BrokenPlugin, Provider, Registry
from lfads_core.plugins.specs import PriorSpec

CORE = Provider("lfads-core", __version__, "core")
"""Core's own plugin, which is always there."""

GOOD = """
    from lfads_core.plugins import NoSettings, PriorSpec, hookimpl

    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="tent", summary="A tent", config=NoSettings, build=print)
        yield PriorSpec(name="box", summary="A box", config=NoSettings, build=print, cites=("Someone 2020",))
"""


def hook(body: str, name: str = "lfads_priors", decorator: str = "@hookimpl", arguments: str = "") -> str:
    return f"""
    from lfads_core.plugins import MetricSpec, NoSettings, PriorSpec, hookimpl

    {decorator}
    def {name}({arguments}):
        {body}
    """


def prior(name: str) -> str:
    return f'PriorSpec(name="{name}", summary="s", config=NoSettings, build=print)'


def test_what_a_distribution_on_disk_offers_is_found_with_its_origin(install):
    install("good", GOOD, version="1.2")
    registry = Registry.from_installed()
    assert [spec.name for spec in registry.all(PriorSpec)] == ["box", "tent"]
    assert registry.get(PriorSpec, "tent").summary == "A tent"
    assert registry.owner(PriorSpec, "tent") == Provider("good", "1.2", "good")
    assert registry.providers == (CORE, Provider("good", "1.2", "good"))
    assert registry.faults == ()


FAULTS = {
    "missing-import": ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    "import-raises": ("raise RuntimeError('two\\n  lines')", "RuntimeError: two lines"),
    "import-exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "no-text": ("raise KeyError", "KeyError"),
    "misspelt": (hook("yield from ()", "lfads_prior"), "no hook is named 'lfads_prior'. Did you mean 'lfads_priors'?"),
    "unmarked": (
        hook("yield from ()", decorator=""),
        "lfads_priors: must be marked with @hookimpl (from lfads_core.plugins), or it is never called",
    ),
    "raises-midway": (hook(f"yield {prior('a')}; raise ValueError('half way')"), "lfads_priors: ValueError: half way"),
    "exits-midway": (hook("import sys; yield sys.exit('bye')"), "lfads_priors: SystemExit: bye"),
    "wrong-spec": (
        hook('yield MetricSpec(name="m", summary="s", compute=print)'),
        "lfads_priors: must yield or return a list of PriorSpec, got a MetricSpec in it",
    ),
    "nested-list": (hook(f"yield [{prior('a')}]"), "lfads_priors: must yield or return a list of PriorSpec, got a list in it"),
    "bare-spec": (hook(f"return {prior('a')}"), "lfads_priors: must yield or return a list of PriorSpec, got a PriorSpec"),
    "nothing": (hook("return None"), "lfads_priors: must yield or return a list of PriorSpec, got None"),
    "text": (hook("return 'tent'"), "lfads_priors: must yield or return a list of PriorSpec, got 't' in it"),
    "bad-name": (
        hook(f"yield {prior('My Prior')}"),
        "lfads_priors: ValueError: 'name' must be lower-case words joined by '-', such as 'my-prior', got 'My Prior'",
    ),
    "bad-config": (
        hook("yield PriorSpec(name='a', summary='s', config=dict, build=print)"),
        "lfads_priors: ValueError: 'config' must be an attrs class that holds the component's settings, got <class 'dict'>",
    ),
    "twice": (hook(f"return [{prior('a')}, {prior('a')}]"), "lfads_priors: every name must be offered once, got 'a' twice"),
    "wrapper": (
        hook("yield", decorator="@hookimpl(wrapper=True)"),
        "lfads_priors: must be a plain hook, because every plugin is called by itself, got a wrapper",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_plugin_is_left_out_with_one_line_and_the_others_work(install, name):
    source, reason = FAULTS[name]
    install(name, source, version="0.3")
    install("good", GOOD)
    registry = Registry.from_installed()
    assert registry.faults == (BrokenPlugin(Provider(name, "0.3", name), reason),)
    assert [spec.name for spec in registry.all(PriorSpec)] == ["box", "tent"]


def test_a_syntax_error_is_a_fault_with_file_and_line(install):
    module = install("typo", "def f(:\n")
    (fault,) = Registry.from_installed().faults
    assert fault.reason == f"SyntaxError: invalid syntax ({module}.py, line 1)"


def test_a_hook_with_other_arguments_than_its_spec_is_a_fault(install):
    install("args", hook("pass", "lfads_epoch_ended", arguments="epoch, loss"))
    (fault,) = Registry.from_installed().faults
    assert fault.reason.startswith("PluginValidationError: Plugin 'args' for hook 'lfads_epoch_ended' hookimpl definition")
    assert "Argument(s) {'loss'} are declared in the hookimpl but can not be found in the hookspec" in fault.reason
    assert "\n" not in fault.reason


def test_a_misspelt_hook_without_a_near_one_lists_the_hooks(install):
    install("far", hook("pass", "lfads_xylophones_by_night"))
    (fault,) = Registry.from_installed().faults
    assert fault.reason.startswith("no hook is named 'lfads_xylophones_by_night'. Hooks: lfads_priors, lfads_reconstructions, lfads_augmentations, ")


def test_a_hook_of_a_later_version_may_be_marked_optional(install):
    install("ahead", hook("yield from ()", "lfads_encoders", decorator="@hookimpl(optionalhook=True)"))
    registry = Registry.from_installed()
    assert registry.faults == ()
    assert registry.providers == (CORE, Provider("ahead", "1.0", "ahead"))


def test_one_broken_hook_leaves_the_whole_plugin_out(install):
    install("half", GOOD + hook("raise ValueError('no')", "lfads_metrics"))
    registry = Registry.from_installed()
    assert registry.all(PriorSpec) == []
    assert registry.providers == (CORE,)


def test_a_very_long_reason_is_cut(install):
    install("long", "raise ValueError('x' * 10_000)")
    (fault,) = Registry.from_installed().faults
    assert fault.reason == "ValueError: " + "x" * 285 + "..."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[lfads]\nno equals sign\n",
            r"entry_points.txt cannot be read (ParsingError: Source contains parsing errors: 'entry_points.txt' [line 2]: 'no equals sign\n')",
        ),
        ("[lfads]\nmalformed = two words\n", None),
    ],
)
def test_a_malformed_entry_point_is_a_fault_of_its_distribution_alone(install, monkeypatch, text, reason):
    install("malformed", "", entry_points=text)
    install("good", GOOD)
    monkeypatch.setenv("LFADS_PLUGINS", "good" if reason else "good,malformed")
    registry = Registry.from_installed()
    assert [spec.name for spec in registry.all(PriorSpec)] == ["box", "tent"]
    (fault,) = registry.faults
    assert (fault.provider.distribution, fault.provider.version) == ("malformed", "1.0")
    if reason:
        assert fault == BrokenPlugin(Provider("malformed", "1.0", "?"), reason)


def test_a_group_that_is_commented_out_is_none(install, monkeypatch):
    install("silent", "", entry_points="# [lfads]\n[console_scripts]\nsilent = silent:main\n")
    monkeypatch.setenv("LFADS_PLUGINS", "")
    assert Registry.from_installed().faults == ()


def test_a_malformed_file_of_an_unrelated_distribution_is_none_of_our_business(install, monkeypatch):
    install("unrelated", "", entry_points="[console_scripts]\nno equals sign\n")
    install("good", GOOD)
    monkeypatch.setenv("LFADS_PLUGINS", "good")
    assert Registry.from_installed().faults == ()


def test_a_distribution_without_name_or_version_still_works(install, site):
    install("bare", GOOD)
    (site / "bare-1.0.dist-info" / "METADATA").unlink()
    assert Registry.from_installed().owner(PriorSpec, "tent") == Provider("(unnamed)", "(no version)", "bare")


def test_only_the_first_of_two_copies_of_a_distribution_is_loaded(install):
    install("copy", GOOD, version="1.0")
    install("copy", "raise ValueError", version="2.0")
    registry = Registry.from_installed()
    assert len(registry.providers) + len(registry.faults) == 2  # core is the other


def test_a_distribution_may_have_several_entry_points(install):
    one = install("one", GOOD)
    install("two", "", entry_points=f"[lfads]\ntwo = nowhere\nthree = {one}\n")
    registry = Registry.from_installed()
    assert [str(fault) for fault in registry.faults] == ["two 1.0 (entry point 'two'): ModuleNotFoundError: No module named 'nowhere'"]
    assert Provider("two", "1.0", "three") in registry.left_out


def test_the_variable_limits_what_is_loaded(install, monkeypatch):
    install("good", GOOD)
    install("broken", "raise ValueError('no')")
    monkeypatch.setenv("LFADS_PLUGINS", " good, ")
    registry = Registry.from_installed()
    assert registry.providers == (CORE, Provider("good", "1.0", "good"))
    assert registry.faults == ()
    assert Provider("broken", "1.0", "broken") in registry.left_out


def test_an_empty_variable_loads_nothing(install, monkeypatch):
    module = install("good", GOOD)
    monkeypatch.setenv("LFADS_PLUGINS", "")
    registry = Registry.from_installed()
    assert registry.providers == (CORE,)
    assert Provider("good", "1.0", "good") in registry.left_out
    assert module not in sys.modules


def test_without_the_variable_everything_is_loaded(install, monkeypatch):
    install("good", GOOD)
    monkeypatch.delenv("LFADS_PLUGINS")
    registry = Registry.from_installed()
    assert Provider("good", "1.0", "good") in registry.providers
    assert registry.left_out == ()


def test_a_name_in_the_variable_that_is_not_installed_is_refused(install, monkeypatch):
    install("good", GOOD)
    monkeypatch.setenv("LFADS_PLUGINS", "goood")
    with pytest.raises(PluginError) as caught:
        Registry.from_installed()
    assert re.fullmatch(
        r"LFADS_PLUGINS: every name must be an installed entry point, got 'goood'\. Did you mean 'good'\? Installed: (\w+, )*good(, \w+)*\.",
        str(caught.value),
    )
