"""A plugin made for another version of core is refused with a sentence, before any of it is imported."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from lfads_core import __version__
from lfads_core.cli.main import cli
from lfads_core.errors import PluginError
from lfads_core.plugins import Registry
from lfads_core.plugins.specs import PriorSpec

RAISES = "raise RuntimeError('must not be imported')"
FINE = """
    from lfads_core.plugins import NoSettings, PriorSpec, hookimpl

    @hookimpl
    def lfads_priors():
        yield PriorSpec(name="tent", summary="A tent", config=NoSettings, build=print)
"""


@pytest.mark.parametrize("needed", ["<0.1", ">=99", "==0.0.*", "~=7.2", "!=" + __version__])
def test_a_plugin_for_another_core_is_left_out_with_the_versions_and_what_to_do(install, needed):
    install("old-tents", RAISES, requires=("numpy", f"lfads-core{needed}"))
    registry = Registry.from_installed()
    (fault,) = registry.faults
    assert str(fault) == (
        f"old-tents 1.0 (entry point 'old-tents'): needs lfads-core{needed}, got {__version__}. "
        f'Install versions that fit: pip install --upgrade old-tents "lfads-core{needed}"'
    )
    assert {entry.provider.distribution for entry in registry.entries} == {"lfads-core"}


@pytest.mark.parametrize(
    "requires",
    [
        (),
        ("numpy>=1", "lfads-core"),
        ("lfads-core>=0.1,<0.2",),
        ("LFADS_Core (>=0.1)",),
        ("lfads-core>=0.1.0rc1",),
        ("lfads-core>=99; extra == 'future'",),
        ("lfads-core>=99; python_version < '3'",),
        ("lfads-core-tools>=99",),
        ("lfads-core[plot]>=0.1",),
    ],
    ids=str,
)
def test_a_plugin_for_this_core_is_loaded(install, requires):
    install("tents", FINE, requires=requires)
    registry = Registry.from_installed()
    assert registry.faults == ()
    assert [spec.name for spec in registry.all(PriorSpec)] == ["tent"]


def test_a_requirement_that_cannot_be_read_is_a_fault(install):
    install("tents", FINE, requires=("lfads-core ~> 1",))
    (fault,) = Registry.from_installed().faults
    assert fault.reason.startswith("what it requires must be readable, got 'lfads-core ~> 1'")


def test_others_work_beside_it_and_the_list_and_a_miss_tell_of_it(install):
    install("new", FINE)
    install("old", RAISES, requires=("lfads-core<0.1",))
    registry = Registry.from_installed()
    assert [spec.name for spec in registry.all(PriorSpec)] == ["tent"]
    with pytest.raises(PluginError, match=r"no prior named 'yurt'.*Not loaded: old 1.0 \(entry point 'old'\): needs lfads-core<0.1, got"):
        registry.get(PriorSpec, "yurt")
    assert "broken, left out: old 1.0 (entry point 'old'): needs lfads-core<0.1" in CliRunner().invoke(cli, ["plugins", "list"]).stdout
