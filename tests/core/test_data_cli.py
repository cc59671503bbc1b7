"""``lfads data check``."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli


def check(*arguments):
    result = CliRunner().invoke(cli, ["data", "check", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def good(counts):
    return {key: np.repeat(values, 6, axis=0) for key, values in counts.items()}


def test_a_good_file_is_shown_with_what_it_looks_like_and_exit_code_0(write_recording, good):
    rows = {"train_cond": np.arange(72), "train_behavior": np.ones((72, 5, 2)), "readin_weight": np.ones((3, 2))}
    result = check(write_recording("good.h5", {**good, **rows}, bin_ms=10.0))
    assert result.exit_code == 0
    mean = good["train_encod_data"].mean()
    zeros = (good["train_encod_data"] == 0).mean()
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "good bins of 10 ms, float32"
    assert lines[1] == "split trials bins channels mean per s zeros missing silent min max"
    assert lines[2] == f"train 72 5 3 {mean:.4g} {mean * 100:.4g} {zeros:.1%} - 0 0 {good['train_encod_data'].max():g}"
    assert lines[4:7] == [
        "per trial: behavior 5x2, cond",
        "whole: readin_weight 3x2",
        "looks like: counts (0, 1, 2...): --plugin poisson (lfads-plugins-std)",
    ]
    assert lines[8].startswith("note: ")


def test_what_differs_between_input_and_target_is_shown(write_recording, good):
    arrays = {key: values[:, :4, :2] for key, values in good.items()}
    arrays |= {key.replace("encod", "recon"): values for key, values in good.items()}
    arrays |= {f"{split}_ext_input": np.ones((trials, 4, 2)) for split, trials in (("train", 72), ("valid", 60))}
    path = write_recording("good.h5", arrays)
    result = check(path)
    assert f"good  bin width unknown (say it: lfads data set {path} bin_ms=10), float32, 2 external inputs in 4 bins" in result.stdout
    assert re.search(r"train +72 +4 in, 5 out +2 in, 3 out ", result.stdout)
    assert "per s" not in result.stdout


def test_an_error_gives_exit_code_2_and_a_warning_does_not(write_recording, good):
    good["train_encod_data"][:, :, 1] = 0
    path = write_recording("a.h5", good)
    result = check(path)
    assert result.exit_code == 0
    assert f"warning: {path}: 'train_recon_data' has 1 of 3 channels that never change (1)." in result.stdout
    good["train_encod_data"][0, 0, 0] = 0.5
    path = write_recording("b.h5", good)
    assert check(path).exit_code == 0
    result = check(path, "--support", "counts")
    assert result.exit_code == 2
    assert f"error: {path}: 'train_recon_data' must hold counts (0, 1, 2...), got 1 fractional (such as 0.5) of 1080 values." in result.stdout


def test_a_file_that_cannot_be_read_does_not_hide_the_others(write_recording, good, tmp_path):
    write_recording("good.h5", good)
    (tmp_path / "bad.h5").write_bytes(b"no")
    result = check(tmp_path)
    assert result.exit_code == 2
    assert "good  bin width unknown" in result.stdout
    assert f"error: {tmp_path / 'bad.h5'}: must be an HDF5 file, got something else." in result.stdout


def test_files_that_are_no_sessions_of_one_model_can_be_checked_separately(write_recording, good, tmp_path):
    write_recording("a.h5", good, bin_ms=5.0)
    write_recording("b.h5", good, bin_ms=10.0)
    result = check(tmp_path)
    assert result.exit_code == 2
    assert "error: all sessions: must have the same bin_ms, got 5 in a; 10 in b." in result.stdout
    assert check(tmp_path, "--separately").exit_code == 0


def test_a_batch_that_cannot_be_filled_is_a_note(write_recording, counts):
    path = write_recording("a.h5", counts)
    assert check(path).exit_code == 0
    shrunk = check(path, "--batch-size", 64)
    assert shrunk.exit_code == 0
    assert "note: data.batch_size: 64 trials do not fit, for there are 12 training trials: each step takes all of them.\n" in shrunk.stdout
    assert "data.batch_size" not in check(path, "--batch-size", 12).stdout


def test_json_holds_everything_the_table_shows(write_recording, good):
    good["valid_encod_data"][0, 0, 0] = np.nan
    path = write_recording("a.h5", good, bin_ms=10.0)
    result = check(path, "--json")
    shown = json.loads(result.stdout)
    (session,) = shown["sessions"]
    assert (session["name"], session["path"], session["bin_ms"]) == ("a", str(path), 10.0)
    assert session["looks_like"].startswith("counts")
    assert session["splits"]["valid"]["recon"]["missing"] == 1
    assert session["splits"]["train"]["recon"]["shape"] == [72, 5, 3]
    assert [p["severity"] for p in shown["problems"]] == ["warning", "info"]


PLUGIN = """
    from types import SimpleNamespace

    from lfads_core.plugins.hookspecs import hookimpl
    from lfads_core.plugins.specs import AugmentationSpec, NoSettings, RecipeSpec, ReconstructionSpec

    @hookimpl
    def lfads_reconstructions():
        yield ReconstructionSpec(name="strict", summary="Positive", config=NoSettings, build=lambda s, n: SimpleNamespace(support="positive"))

    @hookimpl
    def lfads_augmentations():
        yield AugmentationSpec(name="skip-gaps", summary="Gaps are no data", config=NoSettings, build=build_skip_gaps)

    @hookimpl
    def lfads_recipes():
        components = {"reconstruction": {"name": "strict"}, "train_augmentations": ["skip-gaps"], "infer_augmentations": ["skip-gaps"]}
        yield RecipeSpec(name="gaps", summary="Gaps", settings={"components": components, "data": {"batch_size": 8}})

    def build_skip_gaps(settings):
        from lfads_core.components import AbstractAugmentation

        class SkipGaps(AbstractAugmentation):
            name = "skip-gaps"
            observes_missing = True

            def augment(self, batch, noise):
                return batch

        return SkipGaps()
"""


@pytest.fixture
def plugin(install, monkeypatch):
    """The plugin above, beside the standard components that a run is made of."""
    install("strict", PLUGIN)
    monkeypatch.setenv("LFADS_PLUGINS", "strict,std")


def test_a_plugin_decides_what_the_data_must_be(plugin, write_recording, counts):
    values = {key: array + 1 for key, array in counts.items()}
    values["train_encod_data"][0, 0, 0] = np.nan
    path = write_recording("a.h5", values)
    result = check(path, "--plugin", "gaps")
    assert result.exit_code == 0
    assert "NaN" not in result.stdout
    result = check(path, "--plugin", "strict", "--batch-size", 8)
    assert result.exit_code == 2
    assert f"error: {path}: 'train_recon_data' must have no missing values, got NaN in 1 of 180 values." in result.stdout
    result = check(write_recording("b.h5", counts), "--plugin", "gaps")
    assert result.exit_code == 2
    assert "'train_recon_data' must hold values > 0, got" in result.stdout


def test_a_plugin_that_is_not_there_is_one_line(plugin, write_recording, counts):
    result = check(write_recording("a.h5", counts), "--plugin", "gap")
    assert result.exit_code == 2
    assert re.fullmatch(
        r"error: --plugin: no plugin named 'gap'\. Did you mean 'gaps'\? Installed: .*, strict, student-t, transformer\.\n", result.stderr
    )
