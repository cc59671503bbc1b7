"""The README's first screen is true."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import torch
from scipy import stats

from lfads_core.plugins import CommandSpec, NoSettings, Provider, Registry
from lfads_core.testing import check_prior
from lfads_core.testing.imports import try_import

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spec():
    """What the README's plugin offers."""
    (source,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    plugin = types.ModuleType("sparse")
    exec(source, plugin.__dict__)
    (spec,) = plugin.lfads_priors()
    return spec


@pytest.fixture(scope="module")
def prior(spec):
    """The prior."""
    return spec.build(NoSettings(), 3)


def test_the_plugin_obeys_the_laws_of_its_kind(spec):
    check_prior(spec)


def test_the_plugin_is_imported_quickly(tmp_path, monkeypatch):
    (source,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "sparse.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert {finding.law: finding.faults for finding in try_import(Provider("lfads-sparse", "0.1", "sparse")) if not finding.ok} == {}


def test_the_plugin_has_as_many_lines_as_the_heading_says():
    (source,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (lines,) = re.findall(r"## Write a plugin in (\d+) lines", README)
    assert len([line for line in source.splitlines() if line.strip()]) == int(lines)


def test_the_plugins_divergence_is_the_difference_of_scipys_log_densities(prior):
    rng = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 5, 3, generator=rng, dtype=torch.float64) * 0.2
    std = torch.rand(4, 5, 3, generator=rng, dtype=torch.float64) + 0.1
    draw = prior.draw(mean, rng)
    z = prior.sample(mean, std, draw)
    expected = (stats.norm.logpdf(z, mean, std) - stats.laplace.logpdf(z, scale=0.1)).sum((1, 2))
    torch.testing.assert_close(prior.kl(mean, std, draw), torch.as_tensor(expected), rtol=0, atol=1e-3)  # 1.8379 has five digits


def test_the_plugin_generates_laplace_values(prior):
    drawn = prior.generate(torch.empty(200, 50, 2), torch.Generator().manual_seed(0))
    assert stats.kstest(drawn.flatten().numpy(), stats.laplace(scale=0.1).cdf).pvalue > 0.001


def test_every_command_in_the_readme_exists():
    named = set(re.findall(r"\blfads ([a-z]+)", README))
    assert named
    assert named <= {spec.name for spec in Registry.from_installed().all(CommandSpec)}


def test_every_package_has_its_row_and_its_folder():
    root = Path(__file__).resolve().parents[1]
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\((\w+)\) \|", README, flags=re.MULTILINE)
    assert {folder for _, folder in rows} == {path.name for path in root.glob("lfads_*")}
    assert all(name.replace("-", "_") == folder for name, folder in rows)


def test_every_file_the_readme_links_to_exists():
    root = Path(__file__).resolve().parents[1]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (root / link).exists()] == []


def test_lines_of_pip_for_packages_of_ours_say_that_they_hold_from_the_first_release_on():
    root = Path(__file__).resolve().parents[1]
    allowed = {root / "README.md", root / "docs" / "start.md", *root.glob("lfads_*/README.md")}  # other pages lead to the second
    for page in {*root.glob("*.md"), *root.glob("docs/**/*.md"), *allowed} - {root / "CHANGELOG.md"}:
        text = page.read_text(encoding="utf-8")
        if found := re.search(r'pip install "?lfads-(core|plugins-\w+)', text):
            assert page in allowed, page
            assert "from the first release on" in text[: found.start()].lower(), page
