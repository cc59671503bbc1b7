"""Our own parity files: laid out as the published ones, reproducible, and each showing what it is there for."""

import json
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from oracle.draws import build
from oracle.files import case_from, group, read_file
from oracle.lfads_numpy import run
from oracle.make_fixtures import SEED, model_fixture
from oracle.recipes import RECIPES

NAMES = [r.name for r in RECIPES]
# Differences of the loss are no gradients where coordinated dropout blocks them or the variance floor lets them through.
SMOOTH = [r.name for r in RECIPES if not r.cd and r.name != "e_gaussian"]


def names_in(path):
    with h5py.File(path) as file:
        found = set()
        file.visititems(lambda name, item: found.add(name) if isinstance(item, h5py.Dataset) else None)
        return found, set(file.attrs)


def test_they_are_laid_out_as_the_published_ones(own_fixtures, shared):
    compared = 0
    for path in sorted((shared / "parity" / "open").glob("*.h5")):
        ours, our_attributes = names_in(own_fixtures / path.name)
        theirs, their_attributes = names_in(path)
        assert {n for n in theirs if not n.startswith("init/")} == ours, path.name
        assert their_attributes <= our_attributes, path.name
        compared += 1
    assert compared == 39
    published = json.loads((shared / "parity" / "open" / "r_schedules.json").read_text())
    assert json.loads((own_fixtures / "r_schedules.json").read_text()).keys() == published.keys()


def test_the_same_seed_makes_the_same_arrays_and_another_seed_others(tmp_path):
    recipe = RECIPES[0]
    first, again, other = (read_file(model_fixture(recipe, folder, seed))[1] for folder, seed in _folders(tmp_path))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["outputs/factors"] != other["outputs/factors"]).all()


def _folders(tmp_path):
    for i, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(i)
        folder.mkdir()
        yield folder, seed


@pytest.mark.long
def test_the_oracle_loads_neither_torch_nor_our_packages(root):
    code = "import sys, oracle.make_fixtures; print(sorted({m.split('.')[0] for m in sys.modules if m.startswith(('torch', 'lfads'))}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root / "tests", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_a_model_file_read_back_gives_its_own_numbers(own_fixtures, name):
    attributes, data = read_file(own_fixtures / f"{name}.h5")
    result = run(case_from(attributes, data))
    for which, found in (("outputs", result.outputs), ("loss", result.loss), ("intermediate", result.intermediate)):
        for field, value in group(data, which).items():
            np.testing.assert_array_equal(found[field], value, err_msg=f"{which}/{field}")


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_agree_with_central_differences(own_fixtures, name):
    attributes, data = read_file(own_fixtures / f"{name}.h5")
    case = case_from(attributes, data)
    rng = np.random.default_rng(0)
    direction = {n: rng.normal(size=g.shape) for n, g in group(data, "grads").items()}
    step = 1e-6
    ends = [
        run(replace(case, weights={n: w + sign * step * direction[n] if n in direction else w for n, w in case.weights.items()})).loss["total"]
        for sign in (-1, 1)
    ]
    slope = sum((g * direction[n]).sum() for n, g in group(data, "grads").items())
    size = np.sqrt(sum((g * g).sum() for g in group(data, "grads").values()))
    assert abs((ends[1] - ends[0]) / (2 * step) - slope) < 1e-7 * size + 1e-9 * abs(ends[0])


def test_coordinated_dropout_changes_gradients_but_not_losses(own_fixtures):
    recipe = next(r for r in RECIPES if r.name == "k_cd_model")
    _, data = read_file(own_fixtures / "k_cd_model.h5")
    without = run(replace(build(recipe, SEED), masks={"cd_mask": data["masks/cd_mask"], "pass_mask": np.ones_like(data["masks/pass_mask"])}))
    np.testing.assert_array_equal(without.loss["recon_all"], data["loss/recon_all"])
    assert (data["loss/recon_all"] == data["loss/recon_all_before_augmentation"]).all()


def test_the_clip_is_met_and_not_always(own_fixtures):
    for name in ("m_cell_clip", "m2_cell_clip_sampled"):
        attributes, data = read_file(own_fixtures / f"{name}.h5")
        assert all(0.1 < f < 0.9 for f in attributes["clipped_fraction"].values()), attributes["clipped_fraction"]
        assert 0.05 < (np.abs(data["intermediate/ci"]) == attributes["config"]["cell_clip"]).mean() < 0.9  # in the encoders too


def test_the_floors_are_met(own_fixtures):
    _, gaussian = read_file(own_fixtures / "e_gaussian.h5")
    assert (np.exp(gaussian["outputs/output_params"][..., 0, 1]) < 1e-6).all()
    assert np.abs(gaussian["grads/readout.0.weight"][6]).max() > 0
    _, zig = read_file(own_fixtures / "g_zero_inflated_gamma.h5")
    assert (1 / (1 + np.exp(-zig["outputs/output_params"][..., 1, 0])) < 1e-5).all()
    assert (zig["grads/readout.0.weight"][1] == 0).all()


def test_some_optimiser_steps_are_clipped_and_some_are_not(own_fixtures):
    attributes, data = read_file(own_fixtures / "o_adamw20_means.h5")
    assert 0 < attributes["clipped_steps"] < len(data["steps/loss"])
    attributes, data = read_file(own_fixtures / "o2_adamw20_sampled_cd.h5")
    assert attributes["clipped_steps"] == len(data["steps/loss"])


def test_every_trainable_weight_has_a_gradient_that_is_not_zero(own_fixtures):
    for name in NAMES:
        attributes, data = read_file(own_fixtures / f"{name}.h5")
        grads = group(data, "grads")
        assert set(grads) | set(attributes["frozen_params"]) == set(group(data, "weights"))
        assert [n for n, g in grads.items() if g.size and np.abs(g).max() == 0] == [], name
