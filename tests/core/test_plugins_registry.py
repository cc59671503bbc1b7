"""The registry: names, origins, misses, clashes, notifications."""

from __future__ import annotations

import importlib.metadata
import logging
from types import SimpleNamespace

import attrs
import pytest

import lfads_core.builtin
import lfads_core.plugins
import lfads_plugins_std.plugin
from lfads_core.config.groups import run_config_class
from lfads_core.config.load import resolve
from lfads_core.config.losses import AlignmentConfig, LatentConfig, LossConfig
from lfads_core.errors import LfadsError, PluginError
from lfads_core.plugins import (
    AlignmentSpec,
    LatentSpec,
    LossSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    Provider,
    RecipeSpec,
    ReconstructionSpec,
    Registry,
    hookimpl,
    load_registry,
)
from lfads_core.plugins.hooks import CORE_HOOKS
from lfads_core.plugins.loading import BrokenPlugin, Installed
from lfads_core.plugins.offers import HOOKS, OFFERS
from lfads_core.plugins.specs import SettingsSpec

CLASHING = """
    from lfads_core.plugins import MetricSpec, NoSettings, PriorSpec, hookimpl

    @hookimpl
    def lfads_priors():
        return [PriorSpec(name="laplace", summary="Sharp", config=NoSettings, build=print)]
"""


def offering(hook: str, *specs: object) -> SimpleNamespace:
    """A plugin object with one hook."""

    def implementation():
        return specs

    implementation.__name__ = hook
    return SimpleNamespace(**{hook: hookimpl(implementation)})


def reconstructions(*names: str) -> SimpleNamespace:
    return offering("lfads_reconstructions", *(ReconstructionSpec(name=n, summary=f"The {n}", config=NoSettings, build=print) for n in names))


def recipe(name: str) -> SimpleNamespace:
    return offering("lfads_recipes", RecipeSpec(name=name, summary="A bundle", settings={}))


def test_every_kind_finds_what_its_hook_offers():
    given = {"config": NoSettings, "settings": {}, "title": "A title", "cls": NoSettings, "phrase": "a phrase"}
    for hook in CORE_HOOKS:
        record = hook.record
        if record is None:
            continue
        needed = [field.name for field in attrs.fields(record) if field.default is attrs.NOTHING and field.name not in {"name", "summary"}]
        own = {"config": {LossSpec: LossConfig, LatentSpec: LatentConfig, AlignmentSpec: AlignmentConfig}.get(record, NoSettings)}
        spec = record(name="thing", summary="s", **{name: {**given, **own}.get(name, print) for name in needed})
        registry = Registry.from_plugins({"mine": offering(hook.name, spec)})
        assert registry.faults == ()
        assert registry.get(record, "thing") is spec
        assert registry.all(record) == [spec]
        assert registry.owner(record, "thing") == Provider("mine", "0", "mine")


def test_a_miss_names_what_comes_near_and_what_is_installed():
    registry = Registry.from_plugins({"a": reconstructions("zig"), "b": reconstructions("poisson")})
    with pytest.raises(PluginError) as caught:
        registry.get(ReconstructionSpec, "zigg")
    assert str(caught.value) == "no reconstruction named 'zigg'. Did you mean 'zig'? Installed: poisson, zig."


def test_a_miss_with_two_near_names_asks_for_both():
    registry = Registry.from_plugins({"a": reconstructions("tent-one", "tent-two", "box")})
    with pytest.raises(PluginError) as caught:
        registry.get(ReconstructionSpec, "tent")
    assert str(caught.value) == "no reconstruction named 'tent'. Did you mean 'tent-two' or 'tent-one'? Installed: box, tent-one, tent-two."


def test_a_miss_says_which_of_our_distributions_offers_it():
    registry = Registry.from_plugins({"a": reconstructions("zag")})
    with pytest.raises(PluginError) as caught:
        registry.find("zig")
    assert str(caught.value) == "no plugin named 'zig'. Installed: zag. lfads-plugins-calcium offers it: pip install lfads-plugins-calcium"


def test_a_miss_of_whatever_kind_says_who_offers_it_even_if_only_that_package_declares_the_kind():
    registry = Registry.from_plugins({"a": reconstructions("zag")})
    with pytest.raises(PluginError) as caught:
        registry.find("pbt", any_kind=True)
    assert str(caught.value) == "no plugin named 'pbt'. Installed: zag. lfads-plugins-tune offers it: pip install lfads-plugins-tune"


@pytest.mark.parametrize("ask", [lambda r: r.all("prior"), lambda r: r.as_offered("prior"), lambda r: r.get("prior", "zag")])
def test_a_registry_that_is_asked_by_a_word_refuses(ask):
    with pytest.raises(TypeError, match="'prior'"):
        ask(Registry.from_plugins({"a": reconstructions("zag")}))


def test_a_miss_with_nothing_installed_says_who_offers_it():
    with pytest.raises(PluginError) as caught:
        Registry.from_plugins({}).get(ReconstructionSpec, "poisson")
    assert str(caught.value) == "no reconstruction named 'poisson'. Installed: none. lfads-plugins-std offers it: pip install lfads-plugins-std"


def test_a_misspelt_name_that_is_not_installed_is_guessed_too():
    with pytest.raises(PluginError) as caught:
        Registry.from_plugins({}).get(ReconstructionSpec, "possion")
    assert str(caught.value) == (
        "no reconstruction named 'possion'. Did you mean 'poisson'? Installed: none. lfads-plugins-std offers it: pip install lfads-plugins-std"
    )


@pytest.mark.parametrize(
    ("installed", "ending"),
    [
        (
            Installed(faults=(BrokenPlugin(Provider("lfads-plugins-std", "0.1", "std"), "ImportError: no"),)),
            "lfads-plugins-std offers it, but is broken: ImportError: no",
        ),
        (Installed(left_out=(Provider("lfads-plugins-std", "0.1", "std"),)), "lfads-plugins-std offers it, but LFADS_PLUGINS leaves it out."),
    ],
)
def test_a_miss_says_why_an_installed_distribution_does_not_help(installed, ending):
    with pytest.raises(PluginError) as caught:
        Registry(installed).get(ReconstructionSpec, "poisson")
    assert str(caught.value) == f"no reconstruction named 'poisson'. Installed: none. {ending}"


def test_a_miss_of_an_old_version_asks_for_an_upgrade():
    registry = Registry.from_plugins({"lfads-plugins-std": reconstructions("gaussian")})
    with pytest.raises(PluginError) as caught:
        registry.get(ReconstructionSpec, "mse")
    assert str(caught.value) == (
        "no reconstruction named 'mse'. Installed: gaussian. Another version of lfads-plugins-std offers it: pip install --upgrade lfads-plugins-std"
    )


def test_a_miss_tells_of_broken_plugins_that_may_have_offered_it():
    registry = Registry.from_plugins({"bad": offering("lfads_priors", 3)})
    with pytest.raises(PluginError) as caught:
        registry.get(PriorSpec, "tent")
    assert str(caught.value) == (
        "no prior named 'tent'. Installed: none. "
        "Not loaded: bad 0 (entry point 'bad'): lfads_priors: must yield or return a list of PriorSpec, got 3 in it."
    )


def test_the_same_name_is_allowed_for_different_kinds_and_found_recipes_first():
    registry = Registry.from_plugins({"a": reconstructions("zig"), "b": recipe("zig")})
    assert [spec.kind for spec in registry.find("zig")] == ["recipe", "reconstruction"]


def test_a_miss_of_a_bare_name_looks_through_recipes_and_components():
    registry = Registry.from_plugins({"a": reconstructions("tent"), "b": recipe("tents")})
    with pytest.raises(PluginError) as caught:
        registry.find("tentz")
    assert str(caught.value) == "no plugin named 'tentz'. Did you mean 'tent' or 'tents'? Installed: tent, tents."


def test_metrics_and_readers_are_not_picked_by_a_bare_name():
    registry = Registry.from_plugins({"a": offering("lfads_synthetics")})
    with pytest.raises(PluginError, match=r"^no plugin named 'lorenz'\. Installed: none\.$"):
        registry.find("lorenz")


CLASH = (
    "2 plugins offer the prior 'laplace': alpha 1.0 (entry point 'alpha') and beta 2.1 (entry point 'beta'). "
    "Say which, 'alpha:laplace' or 'beta:laplace', uninstall one of them, or leave one out by listing the entry points you want in LFADS_PLUGINS."
)


def test_a_clash_names_both_distributions_with_versions_and_the_ways_out(install):
    install("alpha", CLASHING)
    install("beta", CLASHING, version="2.1")
    registry = Registry.from_installed()
    for refused in (
        lambda: registry.get(PriorSpec, "laplace"),
        lambda: registry.owner(PriorSpec, "laplace"),
        lambda: registry.find("laplace"),
    ):
        with pytest.raises(PluginError) as caught:
            refused()
        assert str(caught.value) == CLASH


def test_a_clash_of_a_name_that_nobody_uses_hinders_nothing_and_the_distribution_decides(install):
    install("alpha", CLASHING)
    install("beta", CLASHING, version="2.1")
    load_registry.cache_clear()
    try:
        registry = load_registry()
    finally:
        load_registry.cache_clear()
    assert [clash.name for clash in registry.clashes] == ["laplace"]
    for name in ("beta:laplace", "Beta:laplace"):
        assert registry.owner(PriorSpec, name).version == "2.1"
        assert [spec.name for spec in registry.find(name)] == ["laplace"]
    with pytest.raises(PluginError, match="no prior named 'gamma:laplace'"):
        registry.get(PriorSpec, "gamma:laplace")


def test_the_distribution_decides_in_settings_too():
    class Offering:
        @hookimpl
        def lfads_priors(self):
            yield PriorSpec(name="normal", summary="Another", config=NoSettings, build=dict)

    registry = Registry.from_plugins({"core": lfads_core.builtin, "std": lfads_plugins_std.plugin, "lab": Offering()})
    with pytest.raises(LfadsError, match="2 plugins offer the prior 'normal'"):
        resolve([], [], ["components.ic_prior=normal"], registry)
    config = resolve([], [], ["components.ic_prior=lab:normal"], registry)
    assert config.components.ic_prior.name == "lab:normal"
    assert registry.get(PriorSpec, config.components.ic_prior.name).summary == "Another"


def test_two_metrics_of_one_name_are_refused_where_metrics_are_used():
    def metrics():
        @hookimpl
        def lfads_metrics():
            yield MetricSpec(name="m", summary="M", compute=dict)

        return SimpleNamespace(lfads_metrics=lfads_metrics)

    registry = Registry.from_plugins({"a": metrics(), "b": metrics()})
    assert registry.all(PriorSpec) == []
    with pytest.raises(PluginError, match=r"2 plugins offer the metric 'm': .*\. Uninstall one of them, or leave one out by"):
        registry.all(MetricSpec)


def test_leaving_one_out_resolves_a_clash(install, monkeypatch):
    install("alpha", CLASHING)
    install("beta", CLASHING)
    monkeypatch.setenv("LFADS_PLUGINS", "beta")
    registry = Registry.from_installed()
    assert registry.clashes == ()
    assert registry.owner(PriorSpec, "laplace").distribution == "beta"


def test_the_registry_of_commands_is_loaded_once_and_tells_of_broken_plugins(install, caplog):
    install("broken", "raise ValueError('no')")
    load_registry.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="lfads"):
            assert load_registry() is load_registry()
    finally:
        load_registry.cache_clear()
    assert caplog.messages == ["plugin left out: broken 1.0 (entry point 'broken'): ValueError: no"]


class Listener:
    """A plugin that hears of epochs, and may take it badly."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.heard: list[object] = []
        self.error = error

    @hookimpl
    def lfads_epoch_ended(self, epoch, row):  # fewer arguments than the hook has
        self.heard.append((epoch, row))
        if self.error is not None:
            raise self.error


def test_a_notification_reaches_every_listener_and_a_failing_one_is_warned_about_once(caplog):
    bad, good = Listener(ValueError("disk\nfull")), Listener()
    registry = Registry.from_plugins({"bad": bad, "deaf": reconstructions("x"), "good": good})
    with caplog.at_level(logging.WARNING, logger="lfads"):
        for epoch in (1, 2):
            registry.notify("lfads_epoch_ended", run=None, epoch=epoch, row={"loss": 0.5})
    assert bad.heard == good.heard == [(1, {"loss": 0.5}), (2, {"loss": 0.5})]
    assert caplog.messages == ["bad 0 (entry point 'bad'): lfads_epoch_ended failed and the run goes on (ValueError: disk full)"]


def test_ctrl_c_during_a_notification_is_not_swallowed():
    registry = Registry.from_plugins({"slow": Listener(KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        registry.notify("lfads_epoch_ended", run=None, epoch=1, row={})


def test_a_failing_metric_gives_none_and_one_warning(caplog):
    registry = Registry.from_plugins({"a": reconstructions("x")})
    with caplog.at_level(logging.WARNING, logger="lfads"):
        assert registry.shield(ReconstructionSpec, "x", lambda: 3) == 3
        assert registry.shield(ReconstructionSpec, "x", lambda: 1 // 0) is None
        assert registry.shield(ReconstructionSpec, "x", lambda: 1 // 0) is None
    assert caplog.messages == [
        "a 0 (entry point 'a'): the reconstruction 'x' failed and the run goes on (ZeroDivisionError: integer division or modulo by zero)"
    ]


def test_a_plugin_cannot_change_what_the_registry_holds():
    registry = Registry.from_plugins({"a": reconstructions("x")})
    registry.all(ReconstructionSpec).clear()
    assert [spec.name for spec in registry.all(ReconstructionSpec)] == ["x"]


def test_the_public_names_are_importable():
    for name in lfads_core.plugins.__all__:
        assert hasattr(lfads_core.plugins, name)
    assert PriorSpec.__name__ in lfads_core.plugins.__all__


@pytest.mark.parametrize("distribution", OFFERS)
def test_the_table_of_offers_is_what_the_distributions_register(distribution, monkeypatch):
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    registry = Registry.from_installed()
    assert registry.faults == ()
    registered: dict[str, list[str]] = {}
    for entry in registry.entries:
        if entry.provider.distribution == distribution:
            registered.setdefault(entry.kind, []).append(entry.spec.name)
    assert registered == {kind: list(names) for kind, names in OFFERS[distribution].items()}


def test_the_table_of_declared_hooks_is_what_the_distributions_declare(monkeypatch):
    monkeypatch.delenv("LFADS_PLUGINS", raising=False)
    declared: dict[str, list[str]] = {}
    for hook in Registry.from_installed().hooks:
        if hook not in CORE_HOOKS:
            declared.setdefault(hook.module.__name__.partition(".")[0].replace("_", "-"), []).append(hook.name)
    assert {dist: set(names) for dist, names in declared.items()} == {dist: set(names) for dist, names in HOOKS.items()}


def test_a_hook_of_a_package_of_ours_that_is_not_here_is_no_fault():
    registry = Registry.from_plugins({"mine": offering("lfads_executors")})
    assert registry.faults == ()
    assert [plugin.provider.entry_point for plugin in registry.plugins] == ["mine"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lfads_prior", "'lfads_priors'"),
        ("lfads_reconstruction", "'lfads_reconstructions'"),
        ("lfads_likelihoods", "'lfads_reconstructions'"),
        ("lfads_read_ins", "'lfads_readins'"),
        ("lfads_epoch_finished", "'lfads_epoch_ended'"),
        ("lfads_transforms", "'lfads_augmentations'"),
    ],
)
def test_a_hook_under_another_name_is_led_to_the_one_that_is_meant(name, meant):
    (fault,) = Registry.from_plugins({"mine": offering(name)}).faults
    assert fault.reason.startswith(f"no hook is named {name!r}. Did you mean {meant}")


def test_a_hook_that_resembles_none_lists_all_and_misleads_to_none():
    (fault,) = Registry.from_plugins({"mine": offering("lfads_something_else_entirely")}).faults
    assert fault.reason.startswith("no hook is named 'lfads_something_else_entirely'. Hooks: lfads_priors, ")


def test_a_group_of_settings_called_like_one_of_core_is_refused():
    registry = Registry.from_plugins({"mine": offering("lfads_settings", SettingsSpec(name="optim", summary="s", config=NoSettings))})
    with pytest.raises(
        PluginError, match=r"^mine 0 \(entry point 'mine'\): the settings 'optim' must not be called like a group of core \(data, model, "
    ):
        run_config_class(registry)
