"""The examples of docs/plugins.md that stand around the model do what the page says, from the command line, beside everything of this project."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

import lfads_plugins_tune.search.trackers
from lfads_core.cli.main import cli
from lfads_core.components.page import ChartBlock
from lfads_core.infer.loading import load
from lfads_core.plugins import MetricSpec, RecurrenceSpec, Registry, ReportSectionSpec, hookimpl, load_registry
from lfads_core.recurrence import reference
from lfads_core.recurrence.weights import DecoderDrive, DecoderStart, DecoderWeights, GRUWeights
from plugins_page import MODULES, PLUGINS, only, registry_with

SMALL = (
    "model.encoder.hidden=6",
    "model.controller={encoder_hidden: 5, hidden: 5, inputs: 2}",
    "model.generator={hidden: 8, ic_size: 4, factors: 3}",
    "regularisation.kl_ramp.increase_epochs=0",
    "regularisation.l2_ramp.increase_epochs=0",
    "data.batch_size=32",
    "train.device=cpu",
    "train.metrics_every=1",
    "infer.samples=2",
    "track.mlflow=false",
)


@pytest.fixture(scope="module")
def _installed() -> Iterator[None]:
    """Every plugin of the page is installed, as far as the program can tell."""
    everything = registry_with(*PLUGINS)
    assert everything.faults == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "from_installed", classmethod(lambda _: everything))
        patch.setattr("lfads_core.infer.run.draw_reports", lambda *_: [])
        patch.setattr(lfads_plugins_tune.search.trackers, "draw_figures", lambda *_: None)
        load_registry.cache_clear()
        yield
    load_registry.cache_clear()


@dataclass(frozen=True)
class Folder:
    """Where commands are carried out, and what they printed."""

    path: Path

    def lfads(self, *words: str, small: Sequence[str] = ()) -> str:
        with contextlib.chdir(self.path):
            done = CliRunner().invoke(cli, [*words, *(part for text in small for part in ("--set", text))])
        assert done.exit_code == 0, done.output
        return done.output


@pytest.fixture(scope="module")
def here(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder with a recording, ``data.h5``."""
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    with h5py.File(folder / "data.h5", "w") as file:
        file.attrs["bin_ms"] = 10.0
        for split, trials in (("train", 40), ("valid", 12)):
            file[f"{split}_encod_data"] = rng.poisson([0.2, 3.0, 0.5, 1.0], (trials, 10, 4)).astype("float32")
    return Folder(folder)


@dataclass(frozen=True)
class Trained:
    """A run with loops, settings and trackers of the page."""

    folder: Folder
    said: str

    @property
    def run(self) -> Path:
        return self.folder.path / "runs" / "data"


@pytest.fixture(scope="module")
def trained(here: Folder) -> Trained:
    small = (*SMALL, "train.epochs=3", "train.recurrence=double", "heartbeat.file=beat.json", "heartbeat.every=2")
    return Trained(here, here.lfads("run", "data.h5", small=small))


@pytest.fixture(scope="module")
def halved(here: Folder) -> tuple[Path, str]:
    """Successive halving of five members, trained backwards; the folder, and what was said."""
    words = ("search", "halving", "data.h5", "--members", "5", "--epochs", "4", "--executor", "backwards", "--name", "halved")
    said = here.lfads(*words, small=(*SMALL, "search.interval=1", "train.threads=1"))
    return here.path / "runs" / "halved", said


@pytest.mark.long
def test_the_settings_of_the_page_are_explained_and_read_by_their_tracker(trained):
    assert "epochs between two beats" in trained.folder.lfads("config", "explain", "heartbeat")
    beat = json.loads((trained.folder.path / "beat.json").read_text())
    assert (Path(beat["run"]).name, beat["status"]) == ("data", "finished")
    assert yaml.safe_load((trained.run / "config.yaml").read_text())["heartbeat"] == {"file": "beat.json", "every": 2}


def test_the_tracker_of_the_page_writes_a_line_an_epoch_and_drops_what_is_trained_again(trained, tmp_path):
    rows = [json.loads(line) for line in (trained.run / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all("valid/recon" in row for row in rows)
    tracker_of = MODULES["lfads_jsonl.py"].JsonLines
    first = tracker_of(tmp_path / "rows", 0)
    for epoch in range(4):
        first.log(epoch, {"a": 1.0})
    again = tracker_of(tmp_path / "rows", 2)
    again.log(2, {"a": 2.0})
    assert [json.loads(line)["a"] for line in (tmp_path / "rows").read_text().splitlines()] == [1.0, 1.0, 2.0]


def _weights(inputs: int, hidden: int, rng: torch.Generator) -> GRUWeights:
    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng).requires_grad_()

    return GRUWeights(input=drawn(3 * hidden, inputs), recurrent=drawn(3 * hidden, hidden), bias=drawn(3 * hidden))


def test_the_loops_of_the_page_agree_with_the_reference_in_outputs_and_gradients():
    spec, _ = only("lfads_double.py", RecurrenceSpec)
    rng = torch.Generator().manual_seed(0)
    x, h0, weights = torch.randn(2, 7, 3, generator=rng), torch.randn(2, 5, generator=rng), _weights(3, 5, rng)
    found = [loop(x, h0, weights, clip=5.0, reverse=True) for loop in (spec.gru, reference.gru)]
    gradients = [torch.autograd.grad(states.square().sum(), (weights.input, weights.recurrent, weights.bias)) for states in found]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    start = DecoderStart(generator=torch.zeros(2, 6), factors=torch.zeros(2, 2), controller=torch.zeros(2, 4))
    drive = DecoderDrive(ci=torch.randn(2, 7, 8, generator=rng), external=torch.zeros(2, 7, 0), noise=torch.randn(2, 7, 3, generator=rng))
    decoder = DecoderWeights(
        controller=_weights(10, 4, rng),
        posterior=torch.randn(6, 4, generator=rng),
        posterior_bias=torch.zeros(6),
        generator=_weights(3, 6, rng),
        factors=torch.randn(2, 6, generator=rng),
    )
    ours, theirs = (loop(start, drive, decoder, clip=5.0) for loop in (spec.controlled, reference.controlled))
    for name in ("states", "factors", "con_states", "input_mean", "input_std", "inputs"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-4)
        assert getattr(ours, name).dtype == torch.float32


def test_the_command_of_the_page_names_the_loudest_channels(here):
    assert re.findall(r"^channel (\d)", here.lfads("data", "loudest", "data.h5", "--most", "2"), flags=re.MULTILINE) == ["1", "3"]
    assert "Name the loudest channels." in here.lfads("data", "--help")
    done = CliRunner().invoke(cli, ["data", "loudest", str(here.path / "none.h5")])
    assert done.exit_code == 2
    assert "error: " in done.stderr
    assert "Make one with `lfads data make`." in done.stderr


def test_the_raw_format_of_the_page_becomes_a_file_for_training(here):
    folder = here.path / "sorted"
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = np.sort(rng.integers(0, 20 * 30_000, 4000))
    np.save(folder / "spike_times.npy", samples[:, None])
    np.save(folder / "spike_clusters.npy", rng.integers(0, 3, 4000))
    (folder / "params.py").write_text("dat_path = 'raw.dat'\nsample_rate = 30000.\n")
    (here.path / "trials.csv").write_text("start,stop\n" + "".join(f"{k},{k + 1}\n" for k in range(20)))
    here.lfads("data", "make", "sorted/", "--trials", "trials.csv", "--bin", "20", "-o", "mine.h5")
    with h5py.File(here.path / "mine.h5") as file:
        counts = np.concatenate([file[f"{split}_encod_data"][()] for split in ("train", "valid")])
    assert counts.shape == (20, 50, 3)
    assert counts.sum() == 4000


@pytest.mark.long
def test_the_section_of_the_page_is_on_the_page_of_a_run_and_finds_a_rhythm(trained, monkeypatch):
    trained.folder.lfads("report", "runs/data")
    text = (trained.run / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings.index("How fast are the factors?") == headings.index("Factor trajectories") + 1
    assert "could not be drawn" not in text
    spec, _ = only("lfads_spectrum.py", ReportSectionSpec)
    loaded = load(trained.run)
    wave = np.sin(2 * np.pi * 0.125 * np.arange(80))[None, :, None] * np.ones((4, 1, 3)) + 7
    monkeypatch.setattr(type(loaded), "outputs", lambda *_: {"valid_factors": wave})
    (chart,) = spec.draw(loaded)
    assert isinstance(chart, ChartBlock)
    (curve,) = chart.curves
    assert curve.x[curve.y.argmax()] == pytest.approx(0.125)


def test_the_exporter_of_the_page_writes_what_the_run_has(trained):
    assert trained.folder.lfads("export", "runs/data", "--to", "npz", "outputs.npz") == "wrote outputs.npz\n"
    outputs = load(trained.run).outputs()
    with np.load(trained.folder.path / "outputs.npz") as file:
        assert set(file.files) == {f"data/{key}" for key in outputs}
        np.testing.assert_array_equal(file["data/valid_rates_hz"], outputs["valid_rates_hz"])


def test_scores_found_out_afterwards_are_told(trained):
    trained.folder.lfads("eval", "runs/data")
    rows = dict(line.split("\t") for line in (trained.run / "marks.tsv").read_text().splitlines())
    assert rows
    assert all(np.isfinite(float(value)) for value in rows.values())


def test_the_settings_of_the_pages_old_scripts_are_taken_over(here):
    (here.path / "old.yaml").write_text("n_factors: 12\nn_units: 64\nstep_size: 1e-3\ngpu: 0\n")
    said = here.lfads("config", "import", "old.yaml", "-o", "taken.yaml")
    assert "3 settings of our old scripts" in said
    assert "gpu: devices are found by themselves" in said
    assert yaml.safe_load((here.path / "taken.yaml").read_text()) == {
        "model": {"generator": {"factors": 12, "hidden": 64}},
        "optim": {"lr": 1e-3},
    }


@pytest.mark.parametrize(("where", "line"), [(None, "warn  queue .* no sbatch here  -> log in"), ("slurm/sbatch", "ok    queue .* slurm/sbatch")])
def test_the_check_of_the_page_is_a_line_of_the_doctor(where, line, here, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: where)
    monkeypatch.setattr("lfads_core.cli.doctor.sys.exit", lambda _: None)
    assert re.search(line, here.lfads("doctor"))


def test_a_hook_of_ones_own_makes_a_kind_that_the_registry_knows(here):
    import lab_rotations

    factors = np.random.default_rng(0).normal(size=(5, 40, 4)) * [1, 9, 1, 5]
    plane = lab_rotations.plane("pca", factors)
    assert sorted(abs(plane).argmax(axis=0)) == [1, 3]
    assert "rotation" in here.lfads("plugins", "list")
    assert "The plane of largest variance" in here.lfads("plugins", "show", "pca")


@pytest.mark.long
def test_the_algorithm_of_the_page_halves(halved):
    folder, _ = halved
    journal = json.loads((folder / "search.json").read_text())
    trained = [[record["member"] for record in generation["members"]] for generation in journal["history"]]
    assert [len(members) for members in trained] == [5, 3, 2, 1]
    for before, after in zip(journal["history"], journal["history"][1:], strict=False):
        ranked = sorted(before["members"], key=lambda record: record["score"])
        assert {record["member"] for record in after["members"]} == {record["member"] for record in ranked[: (len(ranked) + 1) // 2]}
    assert journal["status"] == "finished"
    assert [member["epochs"] for member in sorted(journal["members"], key=lambda m: m["epochs"])] == [1, 1, 2, 3, 4]


def test_the_executor_of_the_page_trains_the_last_member_first(halved):
    folder, _ = halved
    rows = [line.split(",") for line in (folder / "fitlog.csv").read_text().splitlines()]
    column = {name: i for i, name in enumerate(rows[0])}
    assert [row[column["member"]] for row in rows[1:] if row[column["generation"]] == "0"] == ["4", "3", "2", "1", "0"]


def test_every_member_of_a_search_is_told_of_and_tracked(halved):
    folder, said = halved
    assert "halved: halving with 5 members\n" in said
    assert [int(epochs) for epochs in re.findall(r"after (\d) epochs member \d leads with", said)] == [1, 2, 3, 4]
    assert "\ahalved: finished, best in best\n" in said
    assert said.count("training begins in ") == 5
    assert sorted(re.findall(r"\a(\d+): finished", said)) == ["000", "001", "002", "003", "004"]
    epochs = [len(path.read_text().splitlines()) for path in sorted(folder.glob("members/*/epochs.jsonl"))]
    assert sorted(epochs) == [1, 1, 2, 3, 4]


def test_a_plugin_for_a_hook_of_a_package_of_ours_that_is_not_there_offers_the_rest():
    registry = registry_with("lfads_backwards.py", "lfads_maybe_searched.py", ours=("core", "std"))
    assert registry.faults == ()
    names = {entry.spec.name for entry in registry.entries}
    assert "silence" in names
    assert not {"again", "backwards"} & names
    beside = registry_with("lfads_backwards.py", "lfads_maybe_searched.py")
    assert {"silence", "again", "backwards"} <= {entry.spec.name for entry in beside.entries}


@pytest.mark.parametrize("optional", [False, True])
def test_a_plugin_for_a_hook_of_a_strangers_package_that_is_not_there_is_left_out_unless_the_hook_is_optional(optional):
    class Juggler:
        @hookimpl
        def lfads_metrics(self):
            yield MetricSpec(name="balls", summary="How many", compute=lambda _: {})

        @hookimpl(optionalhook=optional)
        def lfads_juggles(self):
            raise AssertionError("nobody calls it")

    registry = Registry.from_plugins({"juggler": Juggler()})
    assert ["balls" in {entry.spec.name for entry in registry.entries}, len(registry.faults)] == [optional, int(not optional)]
    assert optional or "no hook is named 'lfads_juggles'" in registry.faults[0].reason
