"""`lfads bench`: it runs, says what it promises, and its baseline computes the same numbers. How fast anything is, no test asks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.errors import ConfigError
from lfads_core.model.noise import Noise
from lfads_core.plugins import load_registry
from lfads_plugins_lab.bench import population
from lfads_plugins_lab.bench.epoch import trainer_of
from lfads_plugins_lab.bench.naive import naive_pass
from lfads_plugins_lab.bench.peak import peak_memory
from lfads_plugins_lab.bench.problem import first_batch, load_problem
from lfads_plugins_lab.bench.result import Options
from lfads_plugins_lab.bench.shapes import SHAPES, StepShape
from lfads_plugins_lab.bench.startup import bench_startup

TINY_SHAPE = StepShape(
    trials=3, encoded_bins=4, bins=6, encoded_channels=3, channels=5, generator=6, controller=4, input_encoder=3, encoder=5, factors=2, inputs=2
)


@pytest.fixture
def tiny(monkeypatch):
    """The shape 'tiny', and without a controller 'tiny-free'."""
    sizes = {name: getattr(TINY_SHAPE, name) for name in StepShape.__dataclass_fields__}
    monkeypatch.setitem(SHAPES, "tiny", TINY_SHAPE)
    monkeypatch.setitem(SHAPES, "tiny-free", StepShape(**{**sizes, "controller": 0, "input_encoder": 0, "inputs": 0}))


def bench(*arguments):
    result = CliRunner().invoke(cli, ["bench", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(("name", "sizes"), [("S1", (64, 100, 60, 100, 1)), ("S4", (128, 100, 50, 200, 0))])
def test_the_published_shapes_become_models_of_these_sizes(name, sizes):
    problem = load_problem(name, [], load_registry())
    shape = problem.shape(problem.model())
    assert (shape.trials, shape.bins, shape.channels, shape.generator, shape.inputs) == sizes
    assert shape == SHAPES[name]


def test_a_step_is_measured_on_every_path_and_against_the_reference(tiny):
    done = bench("step", "--config", "tiny", "--rounds", "2", "--recurrence", "fused", "--baseline", "naive", "--no-memory", "--json")
    found = json.loads(done.output)
    assert (found["bench"], found["threads"], found["rounds"]) == ("step", 1, 2)
    assert set(found["machine"]) == {"device", "cpu", "cores", "gpu", "torch", "python", "lfads_core", "load"}
    (result,) = found["results"]
    assert list(result["paths"]) == ["fused", "naive", "reference"]
    assert result["products_s"] > 0
    for row in result["paths"].values():
        assert set(row) == {"median_s", "fastest_s", "over_products", "speedup"}
    assert result["paths"]["reference"]["speedup"] == 1


@pytest.mark.long
@pytest.mark.parametrize("what", ["epoch", "infer"])
def test_epochs_and_inference_are_measured_and_kept_by_date_and_device(what, tiny, tmp_path):
    few = ["--set", "infer.samples=3", "--set", "train.metrics_every=1"]
    done = bench(what, "--config", "tiny", "--config", "tiny-free", "--rounds", "2", *few, "--save", str(tmp_path))
    kept, table = sorted(tmp_path.iterdir())
    found = json.loads(kept.read_text())
    assert kept.name.startswith(found["date"])
    assert kept.name.endswith(f"-{what}.json")
    assert table.read_text() in done.output
    assert [(result["config"], list(result["paths"])) for result in found["results"]] == [(n, ["auto", "reference"]) for n in ("tiny", "tiny-free")]
    assert table.read_text().count("| tiny |") == 2


@pytest.mark.parametrize("path", ["reference", "fused"])
def test_epochs_train_and_validate_on_the_loops_that_are_measured(path, tiny, tmp_path):
    """The weights that are validated are averages, of a model of their own."""
    trainer = trainer_of(load_problem("tiny", [], load_registry(), ["train.device=cpu"]), path, tmp_path)
    assert trainer.judged is not trainer.model
    assert (trainer.model.loops.name, trainer.judged.loops.name) == (path, path)


def test_a_population_is_measured_for_each_number_of_members(tiny):
    found = json.loads(
        bench("population", "--config", "tiny", "--members", "1", "--members", "3", "--rounds", "1", "--recurrence", "fused", "--json").output
    )
    assert [result["members"] for result in found["results"]] == [1, 3]
    for result in found["results"]:
        for row in result["paths"].values():
            assert set(row) == {"median_s", "fastest_s", "per_member_s", "speedup"}
            assert row["per_member_s"] == pytest.approx(row["median_s"] / result["members"], abs=1e-5)


@pytest.mark.long
def test_memory_is_that_of_a_process_of_its_own():
    found = peak_memory("S1", [], ["data.batch_size=2"], "reference", 1)
    assert 0 < found["torch_mb"] <= found["built_mb"] <= found["peak_mb"]


@pytest.mark.slow
def test_the_start_is_measured_beside_a_bare_import_of_torch():
    found = json.loads(bench("startup", "--rounds", "1", "--json").output)
    (result,) = found["results"]
    assert set(result["paths"]) == {"first_step", "import_torch"}
    first, bare = (result["paths"][name]["median_s"] for name in ("first_step", "import_torch"))
    assert first > 0
    assert bare > 0
    assert result["beyond_torch_s"] == pytest.approx(first - bare, abs=2e-3)  # not its sign: one round on a busy machine may say anything


@pytest.mark.long
def test_a_run_that_ends_before_its_first_step_is_no_start_to_be_timed():
    with pytest.raises(RuntimeError, match=r"^first_step must end with exit code 77, got 2: .*optim\.lr"):
        bench_startup("lorenz", [], Options(paths=[], rounds=1, threads=1, overrides=["optim.lr=-1"]), load_registry())


@pytest.mark.parametrize("name", ["tiny", "tiny-free"])
def test_the_eager_baseline_computes_what_the_model_computes(name, tiny):
    problem = load_problem(name, [], load_registry(), ["model.dropout=0"])
    model, batches = problem.model().double(), first_batch(problem)
    batches = {
        key: type(b)(encod=b.encod.double(), recon=b.recon.double(), external=b.external.double(), trials=b.trials) for key, b in batches.items()
    }
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)) * 0.1)
    gradients = []
    for output in (model(batches, Noise()), naive_pass(model, batches, torch.Generator(), 0.0, sample=False)[0]):
        model.zero_grad()
        cost = output.params["bench"].sin().sum() + output.latents.ic.std.sum() + (output.latents.inputs.std.sum() if output.latents.inputs else 0.0)
        cost.backward()
        gradients.append([cost.detach(), output.latents.gen_inputs.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("S1", [Path("a.h5")]), "--data: must be left out with --config S1, which brings data of its own, got a.h5. Give a file of settings."),
        (("mine.yaml", []), "--data: settings from a file need recordings to be measured on, got none. Give --data FILE.h5 with --config mine.yaml."),
        (("S9", []), "--config: must be one of S1, S2, S3, S4, lorenz or a YAML file of settings, got 'S9'."),
    ],
)
def test_configurations_that_are_none_are_refused(arguments, text):
    with pytest.raises(ConfigError) as caught:
        load_problem(*arguments, load_registry())
    assert str(caught.value) == text


@pytest.mark.parametrize(("name", "value", "members", "trials"), [("members", 3, 3, 3), ("trials", 5, 1, 5)])
def test_growth_takes_the_steps_of_a_population_that_its_parts_take_in_a_training(name, value, members, trials, root, tiny, monkeypatch):
    spec = importlib.util.spec_from_file_location("growth", root / "bench" / "growth.py")
    growth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(growth)
    taken, pools = [], []
    step_together, pool = population.step_together, population.ThreadPoolExecutor

    def step(trainers, raws, graphs):
        taken.append((sorted(trainers), {len(one.trials) for _, batch in raws.values() for one in batch.values()}))
        return step_together(trainers, raws, graphs)

    monkeypatch.setitem(SHAPES, "S1", TINY_SHAPE)
    monkeypatch.setattr(population, "step_together", step)
    monkeypatch.setattr(population, "ThreadPoolExecutor", lambda team, **more: pools.append((team, more["initargs"])) or pool(team, **more))
    found = growth.measure(name, value, 2, 1)
    parts = [[0, 2], [1]] if members == 3 else [[0]]
    assert sorted(taken) == sorted([(part, {trials}) for part in parts] * 2)  # one step warms up, one is measured
    assert pools == [(len(parts), (2 // len(parts),))]
    assert found[f"ms_per_{name[:-1]}"] == pytest.approx(1000 * found["seconds"] / value)
