"""The hooks' own examples and docs/plugins.md: every hook is there, every example is a plugin that works."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import lfads_core.plugins
import lfads_plugins_lab.plugin
import lfads_plugins_tune.plugin
from lfads_core.components import SessionInfo
from lfads_core.components.batch import Batch
from lfads_core.components.evaluation import Evaluation
from lfads_core.data.session import Session
from lfads_core.plugins import (
    AugmentationSpec,
    DataReaderSpec,
    MetricSpec,
    NoSettings,
    PriorSpec,
    ReadinSpec,
    ReadoutSpec,
    ReconstructionSpec,
    Registry,
    ReportSpec,
    SyntheticSpec,
)
from lfads_core.plugins.hooks import Hook
from lfads_core.plugins.hookspecs import DECLARES, lfads_hooks
from lfads_core.runs import Run
from plugins_page import FILES, PAGE, PLUGINS, blocks, only, registry_with

HOOKS: dict[str, Hook] = {hook.name: hook for hook in Registry.from_installed().hooks}
"""Those of core, tune and lab."""
FUNCTIONS = {**{name: getattr(hook.module, name) for name, hook in HOOKS.items()}, DECLARES: lfads_hooks}


def section(hook: str) -> str:
    return PAGE.split(f"\n### {hook}\n", 1)[1].split("\n##", 1)[0]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_hooks_of_three_packages_are_looked_at():
    assert {hook.module.__name__ for hook in HOOKS.values()} == {
        "lfads_core.plugins.hookspecs",
        "lfads_core.plugins.model_hookspecs",
        "lfads_core.plugins.notifications",
        "lfads_plugins_tune.hookspecs",
        "lfads_plugins_lab.hookspecs",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_docstring_of_every_hook_has_a_sentence_and_an_example_that_is_accepted(name):
    text = inspect.getdoc(FUNCTIONS[name])
    assert text is not None
    assert re.match(r"[A-Z].*\.\n\n(.+\n\n)?Example::\n\n", text, flags=re.DOTALL)
    code = textwrap.dedent(text.split("Example::\n", 1)[1])
    tree = ast.parse(code)
    assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] == [name]
    if name == DECLARES:
        return
    records = {hook.record.__name__: hook.record for hook in HOOKS.values() if hook.record}
    stand_ins = {n.id: NoSettings if n.id[0].isupper() else print for n in ast.walk(tree) if isinstance(n, ast.Name)}
    space = {**stand_ins, **records, **{key: getattr(lfads_core.plugins, key) for key in lfads_core.plugins.__all__}}
    exec(compile(tree, name, "exec"), space)
    registry = Registry.from_plugins(
        {"tune": lfads_plugins_tune.plugin, "lab": lfads_plugins_lab.plugin, "example": SimpleNamespace(**{name: space[name]})}
    )
    assert registry.faults == ()
    is_notification = HOOKS[name].record is None
    assert (name in registry.plugins[-1].listeners) == is_notification
    assert len([entry for entry in registry.entries if entry.provider.entry_point == "example"]) == (not is_notification)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_hook_has_its_section_with_an_example_and_a_command(name):
    examples = blocks(section(name), "python")
    assert len(examples) == (2 if name == DECLARES else 1)  # hooks stand in a module of their own
    assert f"@hookimpl\ndef {name}(" in examples[-1]
    commands = blocks(section(name), "console")
    assert len(commands) == 1
    assert all(line.startswith("$ ") for line in commands[0].splitlines())


def test_the_page_documents_no_hook_that_does_not_exist():
    assert set(re.findall(r"^### (lfads_\w+)$", PAGE, flags=re.MULTILINE)) == set(FUNCTIONS)


@pytest.mark.parametrize("name", PLUGINS)
def test_every_file_of_the_page_is_a_plugin_without_faults_and_imports_no_torch_by_itself(name):
    assert registry_with(name).faults == ()
    assert not re.search(r"^(import|from) torch", FILES[name], flags=re.MULTILINE)


def test_the_pyproject_of_the_page_names_the_module_of_the_page_in_six_lines():
    text = FILES["pyproject.toml"]
    project = tomllib.loads(text)["project"]
    assert project["entry-points"]["lfads"] == {"laplace": "lfads_laplace"}
    assert len(text.splitlines()) == 7  # the name of the file, and six lines


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.2), (-2.0, 0.05), (1.0, 3.0)])
def test_the_laplace_prior_of_the_page_has_the_divergence_that_integration_gives(mean, std):
    spec, settings = only("lfads_laplace.py", PriorSpec)
    prior = spec.build(settings, 1)
    q = stats.norm(mean, std)
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.laplace.logpdf(z, scale=settings.scale)), mean - 12 * std, mean + 12 * std, points=[0.0]
    )
    one = torch.tensor([[mean]], dtype=torch.float64)
    assert prior.kl(one, torch.full_like(one, std), {}).item() == pytest.approx(expected, rel=1e-6)


def test_the_laplace_prior_of_the_page_generates_laplace_values():
    spec, settings = only("lfads_laplace.py", PriorSpec)
    values = spec.build(settings, 1).generate(torch.empty(20_000, 1), rng()).numpy().ravel()
    assert stats.kstest(values, stats.laplace(scale=settings.scale).cdf).pvalue > 1e-3


def test_the_unit_prior_of_the_page_has_the_divergence_of_two_normals():
    spec, settings = only("lfads_unit.py", PriorSpec)
    mean, std = torch.randn(4, 3, 2, generator=rng(1)), torch.rand(4, 3, 2, generator=rng(2)) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(0.0, 1.0)).sum((1, 2))
    torch.testing.assert_close(spec.build(settings, 2).kl(mean, std, {}), expected)


def test_the_bernoulli_of_the_page_matches_scipy_and_is_finite_at_the_ends():
    spec, settings = only("lfads_bernoulli.py", ReconstructionSpec)
    model = spec.build(settings, 2)
    x = torch.tensor([-3.0, 0.0, 2.0, 5.0], dtype=torch.float64).reshape(1, 2, 2, 1)
    data = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64).reshape(1, 2, 2)
    p = 1 / (1 + np.exp(-x[..., 0].numpy()))
    np.testing.assert_allclose(model.nll(x, data), -stats.bernoulli.logpmf(data.numpy(), p), rtol=1e-12)
    ends = torch.tensor([-1e38, 1e38]).reshape(1, 1, 2, 1)
    assert torch.isfinite(model.nll(ends, torch.tensor([[[0.0, 1.0]]]))).all()
    torch.testing.assert_close(model.mean(model.params_from_mean(torch.tensor([0.2, 0.7]))[None, None]), torch.tensor([[[0.2, 0.7]]]))
    assert set(model.sample(x, rng()).unique().tolist()) <= {0.0, 1.0}


def test_the_augmentation_of_the_page_hides_channels_and_keeps_the_mean():
    spec, settings = only("lfads_deafen.py", AugmentationSpec)
    augmentation = spec.build(settings)
    ones = torch.ones(2, 3, 5000)
    batch = Batch(encod=ones, recon=ones, external=torch.zeros(2, 3, 0), trials=torch.arange(2))
    changed = augmentation.augment(batch, augmentation.draw(batch, rng()))
    assert (batch.encod == 1).all()
    assert (changed.encod[0, 0] == changed.encod[1, 2]).all()
    assert changed.encod.mean().item() == pytest.approx(1.0, abs=6 * math.sqrt(0.1 / 0.9 / 5000))


def test_the_readin_and_readout_of_the_page_have_the_right_sizes_and_start_at_the_mean():
    info = SessionInfo(name="a", encod_channels=7, recon_channels=5, factors=4, n_params=2)
    spec, settings = only("lfads_tanh_readin.py", ReadinSpec)
    readin = spec.build(settings, info)
    assert readin(torch.zeros(2, 3, 7)).shape == (2, 3, readin.size)
    spec, settings = only("lfads_deep_readout.py", ReadoutSpec)
    readout = spec.build(settings, info)
    params = torch.arange(10.0).reshape(5, 2)
    readout.start_at(params)
    at_zero = readout(torch.zeros(2, 3, 4)).detach()
    assert at_zero.shape == (2, 3, 10)
    torch.testing.assert_close(at_zero[0, 0].reshape(2, 5).T, params)


def test_the_generator_of_the_page_writes_the_data_layout():
    spec, settings = only("lfads_waves.py", SyntheticSpec)
    arrays = spec.generate(settings, np.random.default_rng(0))
    for split in ("train", "valid"):
        assert arrays[f"{split}_encod_data"].shape == arrays[f"{split}_truth"].shape == (100, 100, 30)
        assert arrays[f"{split}_encod_data"].mean() == pytest.approx(settings.mean_count, rel=0.1)


def test_the_reader_of_the_page_reads_an_archive(tmp_path):
    spec, _ = only("lfads_npz.py", DataReaderSpec)
    path = tmp_path / "day.npz"
    np.savez(path, train=np.ones((4, 3, 2)), valid=np.zeros((1, 3, 2)))
    assert spec.matches(path)
    assert not spec.matches(tmp_path / "day.h5")
    session = spec.read(path)
    assert isinstance(session, Session)
    assert {name: split.trials for name, split in session.splits.items()} == {"train": 4, "valid": 1}


def test_the_metric_of_the_page_is_one_for_poisson_counts():
    spec, _ = only("lfads_fano.py", MetricSpec)
    means = np.random.default_rng(0).uniform(0.5, 2, (50, 40, 10))
    counts = np.random.default_rng(1).poisson(means).astype(float)
    fields = {"session": "a", "split": "valid", "means": means, "data": counts, "encod_bins": 40, "encod_channels": 10, "support": "counts"}
    assert spec.compute(Evaluation(is_rate=True, **fields))["fano"] == pytest.approx(1.0, abs=0.05)
    assert spec.compute(Evaluation(is_rate=False, **fields)) == {}


def test_the_report_and_the_notifications_of_the_page_work(tmp_path, capsys):
    run = Run(tmp_path)
    run.fitlog.write_text("epoch,loss\n0,2.0\n1,1.5\n", encoding="utf-8")
    spec, _ = only("lfads_last_row.py", ReportSpec)
    (path,) = spec.render(run, tmp_path)
    assert path.read_text(encoding="utf-8") == "epoch = 1\nloss = 1.5"
    registry = registry_with("lfads_hello.py", "lfads_watch.py", "lfads_bell.py")
    registry.notify("lfads_run_started", run=run)
    registry.notify("lfads_epoch_ended", run=run, epoch=3, row={"valid/recon": 11.0})
    registry.notify("lfads_run_finished", run=run, status="finished")
    assert capsys.readouterr().out == f"training begins in {tmp_path}\nepoch 3: the loss looks too high\n\a{tmp_path.name}: finished\n"
