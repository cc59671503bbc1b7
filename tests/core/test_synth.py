"""Writing synthetic data: the file, its attributes, and the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from attrs import frozen
from click.testing import CliRunner

from lfads_core.cli import synth as synth_cli
from lfads_core.cli.main import cli
from lfads_core.config.fields import at_least, setting
from lfads_core.errors import ConfigError, DataError, PluginError
from lfads_core.plugins import SyntheticSpec, hookimpl
from lfads_core.plugins.registry import Registry
from lfads_core.synth.settings import synthetic_settings
from lfads_core.synth.write import write_synthetic


@frozen(kw_only=True)
class RampSettings:
    trials: int = setting(4, "trials", rule=at_least(2))
    slope: float = setting(0.5, "slope")

    def rules(self):
        return ["slope: must be below the trials"] if self.slope >= self.trials else []


def _ramp(settings, rng):
    counts = rng.poisson(settings.slope * np.ones((settings.trials, 6, 3))).astype(np.float32)
    return {"train_recon_data": counts, "bin_ms": 10.0, "truth_units": "expected counts per bin", "nothing": np.zeros((0, 2))}


SPEC = SyntheticSpec(name="ramp", summary="A ramp", config=RampSettings, generate=_ramp)


@pytest.fixture
def registry():
    class Plugin:
        @hookimpl
        def lfads_synthetics(self):
            yield SPEC

    return Registry.from_plugins({"mine": Plugin()})


@pytest.fixture
def lfads(registry, monkeypatch, tmp_path):
    """Run the command line in an empty folder with only our generator installed."""
    monkeypatch.setattr("lfads_core.plugins.load_registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, ["synth", *args], catch_exceptions=False)


def test_the_file_holds_the_arrays_and_says_how_they_were_made(tmp_path):
    path = write_synthetic(SPEC, RampSettings(trials=5), 3, tmp_path / "deep" / "data.h5")
    assert path == tmp_path / "deep" / "data.h5"
    assert [p.name for p in path.parent.iterdir()] == ["data.h5"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["train_recon_data"][()], _ramp(RampSettings(trials=5), np.random.default_rng(3))["train_recon_data"])
        assert set(file) == {"train_recon_data", "nothing"}
        attributes = dict(file.attrs)
    assert json.loads(attributes.pop("settings")) == {"trials": 5, "slope": 0.5}
    assert attributes == {"bin_ms": 10.0, "truth_units": "expected counts per bin", "generator": "ramp", "seed": 3, "synthetic": True}


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "data.h5"
    path.write_text("precious")
    text = f"{path}: a new file must not replace another, got one that exists. Choose another name, or use --force."
    with pytest.raises(DataError, match=re.escape(text)):
        write_synthetic(SPEC, RampSettings(), 0, path)
    assert path.read_text() == "precious"
    write_synthetic(SPEC, RampSettings(), 0, path, overwrite=True)
    assert h5py.is_hdf5(path)


def test_a_generator_that_fails_leaves_nothing_behind(tmp_path):
    def broken(_settings, _rng):
        return {"fine": np.ones(3), "odd": np.array([object()], dtype=object)}

    with pytest.raises(PluginError, match=r"^generate must give numbers and texts, got a ndarray for 'odd'$"):
        write_synthetic(SyntheticSpec(name="broken", summary="x", config=RampSettings, generate=broken), RampSettings(), 0, tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=re.escape("file/data.h5: the file must be writable, got ")):
        write_synthetic(SPEC, RampSettings(), 0, tmp_path / "file" / "data.h5")


def _days(settings, rng):
    return {f"day{n}": _ramp(settings, rng) for n in (1, 2)}


DAYS = SyntheticSpec(name="days", summary="Two ramps", config=RampSettings, generate=_days)


def test_several_sessions_become_a_folder_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_synthetic(DAYS, RampSettings(), 3) == Path("days")
    assert sorted(p.name for p in (tmp_path / "days").iterdir()) == ["day1.h5", "day2.h5"]
    expected = _days(RampSettings(), np.random.default_rng(3))
    for name, arrays in expected.items():
        with h5py.File(tmp_path / "days" / f"{name}.h5") as file:
            np.testing.assert_array_equal(file["train_recon_data"][()], arrays["train_recon_data"])
            assert (file.attrs["generator"], file.attrs["seed"]) == ("days", 3)


def test_a_folder_of_sessions_is_kept_unless_told_otherwise(tmp_path):
    write_synthetic(DAYS, RampSettings(), 0, tmp_path / "set")
    text = f"{tmp_path / 'set' / 'day1.h5'}: a new file must not replace another, got one that exists. Choose another name, or use --force."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        write_synthetic(DAYS, RampSettings(), 1, tmp_path / "set")
    write_synthetic(DAYS, RampSettings(), 1, tmp_path / "set", overwrite=True)
    with h5py.File(tmp_path / "set" / "day1.h5") as file:
        assert file.attrs["seed"] == 1


def test_several_sessions_mix_with_no_other_recordings_and_are_no_file(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.h5").write_text("precious")
    text = f"{tmp_path / 'set'}: 2 sessions must go to a folder of their own, got one that holds 'mine.h5'. Choose another name."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        write_synthetic(DAYS, RampSettings(), 0, tmp_path / "set", overwrite=True)
    text = f"{tmp_path / 'days.h5'}: 2 sessions must go to a folder of their own, got the name of a file. Leave out the ending."
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        write_synthetic(DAYS, RampSettings(), 0, tmp_path / "days.h5")


def test_one_session_may_go_into_a_folder_that_is_there(tmp_path):
    assert write_synthetic(SPEC, RampSettings(), 0, tmp_path) == tmp_path / "ramp.h5"
    assert h5py.is_hdf5(tmp_path / "ramp.h5")


def test_settings_are_as_strict_as_those_of_a_run(registry):
    assert synthetic_settings(SPEC, ["trials=7", "slope = 1e-1", "trials=8"], registry) == RampSettings(trials=8, slope=0.1)
    assert synthetic_settings(SPEC, [], registry) == RampSettings()
    with pytest.raises(ConfigError) as err:
        synthetic_settings(SPEC, ["trials=1", "sloep=2", "bad", "slope=steep"], registry)
    lines = str(err.value).splitlines()
    assert len(lines) == 4
    assert "--set: must be KEY=VALUE such as bins=100, got 'bad'" in lines
    assert "--set: trials: must be >= 2, got 1" in lines
    assert any("sloep" in line and "slope" in line for line in lines)
    assert any(line.startswith("--set: slope: must be a number, got 'steep'") for line in lines)


def test_rules_across_settings_hold(registry):
    with pytest.raises(ConfigError, match=re.escape("slope: must be below the trials")):
        synthetic_settings(SPEC, ["slope=5"], registry)


def test_the_command_lists_the_generators(lfads):
    result = lfads()
    assert result.exit_code == 0
    assert result.output == "ramp  A ramp\n"


def test_the_command_says_what_to_install_when_there_is_none(monkeypatch):
    monkeypatch.setattr("lfads_core.plugins.load_registry", lambda: Registry.from_plugins({}))
    result = CliRunner().invoke(synth_cli.command, [])
    assert result.output == "No generator is installed. The standard ones: pip install lfads-plugins-std\n"


def test_the_command_writes_a_file_named_after_the_generator(lfads, tmp_path):
    result = lfads("ramp", "--set", "trials=3")
    assert (result.exit_code, result.output) == (0, "wrote ramp.h5\nnext: lfads run ramp.h5\n")
    with h5py.File(tmp_path / "ramp.h5") as file:
        assert file["train_recon_data"].shape == (3, 6, 3)


def test_the_same_seed_gives_the_same_arrays_and_the_default_is_zero(lfads, tmp_path):
    for name, *options in (("a.h5",), ("b.h5", "--seed", "0"), ("c.h5", "--seed", "1")):
        assert lfads("ramp", "-o", name, *options).exit_code == 0
    a, b, c = ((h5py.File(tmp_path / f"{name}.h5"))["train_recon_data"][()] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_command_refuses_to_overwrite_in_one_line_unless_forced(lfads, tmp_path):
    (tmp_path / "ramp.h5").write_text("precious")
    result = lfads("ramp")
    assert result.exit_code == 2
    assert "error: ramp.h5: a new file must not replace another, got one that exists. Choose another name, or use --force." in result.output
    assert lfads("ramp", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("args", "words"), [(("rmap",), "Did you mean 'ramp'?"), (("ramp", "--set", "trials=0.5"), "--set: trials: must be a whole number")]
)
def test_faults_on_the_command_line_exit_with_2(lfads, tmp_path, args, words):
    result = lfads(*args)
    assert result.exit_code == 2
    assert words in result.output
    assert list(tmp_path.iterdir()) == []
