"""The output file: what was inferred, part by part, with meanings and units, beside what the recording holds."""

from __future__ import annotations

import errno
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

from lfads_core.data.hdf5 import read_hdf5
from lfads_core.data.session import Split
from lfads_core.errors import RunError
from lfads_core.infer import outputs
from lfads_core.infer.outputs import meaning_of, unit_of, write_outputs
from lfads_core.output_file import OutputFile

HOW = {"samples": 3, "is_rate": True, "checkpoint": "last"}


@pytest.fixture
def parts(inferred):
    """Outputs of 9 + 4 trials in parts of a few."""
    sizes = {"train": (4, 4, 1), "valid": (3, 1)}
    return {split: [inferred(trials, seed=10 * i + trials) for i, trials in enumerate(of)] for split, of in sizes.items()}


@pytest.fixture
def written(tmp_path, parts):
    """Write outputs of a session, and return arrays, their attributes, and the file's."""

    def write(session, given=parts, path=tmp_path / "deep" / "er" / "out.h5", **how):
        write_outputs(path, session, {split: iter(of) for split, of in given.items()}, **{**HOW, **how})
        with h5py.File(path) as file:
            arrays = {key: value.asstr()[()] if value.dtype.kind == "O" else value[()] for key, value in file.items()}
            return arrays, {key: dict(value.attrs) for key, value in file.items()}, dict(file.attrs)

    return write


def test_parts_stand_one_after_another_with_rates_and_a_time_axis(written, recorded, parts):
    session = recorded(attributes={"bin_ms": 4.0, "first_bin_ms": -20.0, "animal": "rat 7"})
    arrays, about, attributes = written(session)
    assert attributes == {**session.attributes, "lfads_session": "monday", "lfads_checkpoint": "last", "lfads_posterior_samples": 3}
    fields = [*parts["train"][0].arrays(), "rates_hz"]
    inputs = {f"{split}_{key}" for split in parts for key in ("encod_data", "recon_data")}
    assert set(arrays) == {f"{split}_{field}" for split in parts for field in fields} | inputs | {"time_ms"}
    for split, of in parts.items():
        for field in fields[:-1]:
            whole = np.concatenate([part.arrays()[field] for part in of])
            np.testing.assert_array_equal(arrays[f"{split}_{field}"], whole, err_msg=field)
            assert arrays[f"{split}_{field}"].shape == whole.shape
        np.testing.assert_allclose(arrays[f"{split}_rates_hz"], 250 * arrays[f"{split}_output_params"], rtol=1e-6)
        for key in ("encod_data", "recon_data"):
            np.testing.assert_array_equal(arrays[f"{split}_{key}"], session.splits[split].recon)
    assert arrays["time_ms"].dtype == np.float64
    assert arrays["time_ms"].tolist() == [-20, -16, -12, -8, -4, 0, 4]
    assert about["time_ms"] == {"meaning": "start of each bin", "unit": "ms"}
    assert about["train_rates_hz"] == {"meaning": "expected events per second", "unit": "events/s"}
    assert about["valid_output_params"] == {"meaning": "expected value of each channel in each bin", "unit": "events/bin"}


def test_values_that_are_no_rates_or_bins_without_a_width_have_no_rates(written, recorded):
    arrays, about, attributes = written(recorded(), is_rate=False, samples=None)
    assert (attributes["lfads_posterior_samples"], about["train_output_params"]["unit"]) == (0, "units of the data")
    assert "time_ms" in arrays
    assert not [key for key in arrays if "rates_hz" in key]
    arrays, _, _ = written(recorded(attributes={}))
    assert not [key for key in arrays if "rates_hz" in key or key == "time_ms"]


def test_one_split_may_be_inferred_or_none_and_the_weights_need_not_be_named(tmp_path, recorded, parts):
    write_outputs(tmp_path / "out.h5", recorded(), {"valid": parts["valid"]}, samples=1, is_rate=True)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["lfads_checkpoint"] == ""
        assert {key.partition("_")[0] for key in file if not key.endswith("_data")} == {"valid", "time"}
    write_outputs(tmp_path / "out.h5", recorded(), {}, samples=1, is_rate=True)
    with h5py.File(tmp_path / "out.h5") as file:
        assert {key.rpartition("_")[2] for key in file} == {"data"}


def test_arrays_of_the_input_give_way_to_new_ones_of_their_name(written, recorded, parts):
    earlier = {"train_factors": np.arange(3), "input_train_factors": np.arange(4), "input_input_train_factors": np.arange(5)}
    arrays, about, _ = written(recorded(arrays={**earlier, "valid_factors": np.arange(2)}))
    np.testing.assert_array_equal(arrays["train_factors"], np.concatenate([part.factors for part in parts["train"]]))
    kept = {key: len(value) for key, value in arrays.items() if key.startswith("input_")}
    assert kept == {"input_train_factors": 4, "input_input_train_factors": 5, "input_input_input_train_factors": 3, "input_valid_factors": 2}
    assert about["train_factors"] == {"meaning": "latent factors", "unit": "arbitrary"}


@pytest.fixture
def on_disk(tmp_path, recorded):
    """A session in memory, and the file it came from as ``fill`` makes it."""

    def make(fill, **more):
        path = tmp_path / "recording.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return recorded(path=path, **more)

    return make


def test_an_array_that_the_recording_holds_alike_keeps_its_type_and_attributes(written, on_disk, monkeypatch):
    """One that differs in a value, a size or its kind is written as the session holds it."""
    monkeypatch.setattr("lfads_core.data.rows.BLOCK_BYTES", 1)
    rows = np.arange(12.0).reshape(6, 2)
    gaps = np.where(rows == 3, np.nan, rows)
    last = rows + (rows == 11)
    stored = {
        "alike": rows,
        "gaps": gaps,
        "single": 2.5,
        "count": 7,
        "last": rows,
        "more": rows,
        "plane": rows,
        "words": ["a", "b"],
        "flags": rows > 3,
    }
    held = {**stored, "last": last, "more": rows[:4], "plane": rows[None], "words": np.array(["a", "b"], dtype=object)}
    small = {"alike", "last", "more", "plane", "gaps", "count"}

    def fill(file):
        for key, value in stored.items():
            file.create_dataset(key, data=np.asarray(value, dtype=">f2") if key in small - {"count"} else value)
            file[key].attrs["from"] = "lab"
        file["group/of"] = 1

    arrays = {key: np.asarray(value) for key, value in held.items()} | {"group": np.arange(3), "absent": rows}
    found, about, _ = written(on_disk(fill, arrays=arrays), {})
    for key, value in arrays.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    same = {"alike", "gaps", "single", "count", "flags"}
    assert {key for key in arrays if about[key] == {"from": "lab"}} == same
    assert {key for key in arrays if not about[key]} == set(arrays) - same
    assert {key for key, value in found.items() if value.dtype == ">f2" and key in arrays} == {"alike", "gaps"}


def test_data_of_splits_keep_the_type_that_they_are_stored_with(written, on_disk, recorded):
    data = recorded().splits["train"].recon
    found, _, _ = written(on_disk(lambda file: file.create_dataset("train_encod_data", data=data, dtype=">i2")), {})
    assert (found["train_encod_data"].dtype, found["train_recon_data"].dtype) == (">i2", "f4")
    for key in ("train_encod_data", "train_recon_data"):
        np.testing.assert_array_equal(found[key], data)


def test_an_array_that_was_only_rounded_when_it_was_read_keeps_its_precision(written, on_disk):
    exact = np.array([0.1, 0.7, np.pi])
    found, _, _ = written(on_disk(lambda file: file.create_dataset("x", data=exact), arrays={"x": exact.astype("f4")}), {})
    np.testing.assert_array_equal(found["x"], exact)


@pytest.mark.parametrize(("chunks", "step"), [((3, 2), 3), (None, 1)])
def test_a_comparison_decodes_no_chunk_twice(written, on_disk, monkeypatch, chunks, step):
    asked = []
    real = outputs.row_blocks
    monkeypatch.setattr(outputs, "row_blocks", lambda *given: asked.append(given) or real(*given))
    values = np.arange(12.0, dtype="f4").reshape(6, 2)
    found, _, _ = written(on_disk(lambda file: file.create_dataset("x", data=values, chunks=chunks), arrays={"x": values}), {})
    np.testing.assert_array_equal(found["x"], values)
    assert asked == [((6, 2), 4, step)]


def test_what_rides_along_goes_with_its_split_and_empty_arrays_are_left_out(written, recorded):
    session = recorded(external=2)
    words = np.array([f"t{i}" for i in range(4)], dtype=object)
    valid = replace(
        session.splits["valid"], extras={"speed": np.arange(4.0), "word": words, "nothing": np.zeros((4, 0))}, external=np.ones((4, 7, 0))
    )
    found, _, _ = written(replace(session, splits={**session.splits, "valid": valid}), {})
    assert set(found) == {
        "train_encod_data",
        "train_recon_data",
        "train_ext_input",
        "valid_encod_data",
        "valid_recon_data",
        "valid_speed",
        "valid_word",
    }
    assert found["valid_word"].tolist() == words.tolist()
    np.testing.assert_array_equal(found["valid_speed"], np.arange(4.0))
    np.testing.assert_array_equal(found["train_ext_input"], session.splits["train"].external)


def test_each_array_of_the_model_is_written_under_its_own_name(written, recorded):
    rng = np.random.default_rng(0)
    split = Split(encod=rng.normal(size=(9, 5, 3)), recon=rng.normal(size=(9, 7, 4)), external=rng.normal(size=(9, 7, 2)))
    found, about, _ = written(recorded(splits={"train": split}, arrays={"channel_order": np.array([2, 0, 3, 1])}), {})
    assert {key: value.shape for key, value in found.items()} == {
        "train_encod_data": (9, 5, 3), "train_recon_data": (9, 7, 4), "train_ext_input": (9, 7, 2), "channel_order": (4,),
    }  # fmt: skip
    assert about["channel_order"] == {"meaning": "index in the recording of each channel of data, truth and outputs"}


def test_a_recording_that_stays_on_disk_is_copied_from_there_as_long_as_it_is_there(written, tmp_path, parts):
    path = tmp_path / "recording.h5"
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 9), ("valid", 4)):
            file[f"{split}_encod_data"] = np.random.default_rng(trials).poisson(1.0, (trials, 7, 5)).astype("i2")
        file["depth"] = np.arange(5.0)
    session = read_hdf5(path, keep_on_disk=True)
    few = {name: replace(split, encod=split.encod[:2], recon=split.recon[:2], external=split.external[:2]) for name, split in session.splits.items()}
    session = replace(session, splits=few)
    found, _, _ = written(session)
    assert found["train_encod_data"].dtype == np.int16
    for split, trials in (("train", 9), ("valid", 4)):
        np.testing.assert_array_equal(found[f"{split}_recon_data"], np.random.default_rng(trials).poisson(1.0, (trials, 7, 5)))
        assert found[f"{split}_factors"].shape[0] == trials
    path.unlink()
    found, _, _ = written(session)
    assert not [key for key in found if key.endswith("_data")]
    np.testing.assert_array_equal(found["depth"], np.arange(5.0))


def test_a_file_that_cannot_be_written_is_told_and_the_one_before_is_kept(tmp_path, recorded, written, parts, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    where = tmp_path / "taken" / "out.h5"
    with pytest.raises(RunError, match=re.escape(f"{where}: must be written in full, got:")):
        write_outputs(where, recorded(), parts, **HOW)
    path = tmp_path / "out.h5"
    written(recorded(), path=path)
    before = path.read_bytes()
    text = re.escape(f"{path}: must be written in full, got: ")
    with pytest.raises(RunError, match=text):
        written(recorded(attributes={"notes": np.zeros(20000)}), path=path)
    for method, err, why in (
        ("require_written", OSError(errno.ENOSPC, "full"), "No space left on device"),
        ("flush", RuntimeError("unable to flush file's cached information"), "unable to flush"),
    ):
        with monkeypatch.context() as patch:

            def fail(_, errors=[err]):  # noqa: B006 - once, not when the file is closed
                if errors:
                    raise errors.pop()

            patch.setattr(OutputFile, method, fail)
            with pytest.raises(RunError, match=text + why):
                written(recorded(), path=path)
    assert path.read_bytes() == before


def test_a_fault_in_inference_is_not_taken_for_one_of_the_file(tmp_path, recorded, inferred):
    def fails():
        yield inferred(4)
        raise RuntimeError("mat1 and mat2 cannot be multiplied")

    with pytest.raises(RuntimeError, match=r"^mat1 and mat2 cannot be multiplied$"):
        write_outputs(tmp_path / "out.h5", recorded(), {"train": fails()}, **HOW)
    assert not list(tmp_path.glob("*out*"))


def test_an_attribute_that_cannot_be_read_is_told_with_the_recording(written, on_disk, tmp_path):
    def fill(file):
        values = file.create_dataset("depth", data=np.arange(5.0))
        h5py.h5a.create(values.id, b"\xff", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))

    with pytest.raises(Exception, match=re.escape(f"{tmp_path / 'recording.h5'}: the name of an attribute must be UTF-8")):
        written(on_disk(fill, arrays={"depth": np.arange(5.0)}), {})


@pytest.mark.parametrize(
    ("field", "meaning", "rate", "value"),
    [
        ("output_params", "expected value of each channel in each bin", "events/bin", "units of the data"),
        ("rates_hz", "expected events per second", "events/s", "events/s"),
        ("gen_states", "generator states", "arbitrary", "arbitrary"),
        ("latent_day_of_week_mean", "posterior over the latent day_of_week: mean", "arbitrary", "arbitrary"),
        ("latent_context_std", "posterior over the latent context: std", "arbitrary", "arbitrary"),
        ("distribution_log_rate", "log_rate of each channel's distribution in each bin", "of the distribution", "of the distribution"),
    ],
)
def test_every_field_has_a_meaning_and_a_unit(field, meaning, rate, value):
    assert (meaning_of(field), unit_of(field, is_rate=True), unit_of(field, is_rate=False)) == (meaning, rate, value)


def test_a_recording_that_is_damaged_after_it_was_read_costs_nothing(written, recorded, tmp_path):
    path, counts = tmp_path / "recording.h5", np.random.default_rng(0).poisson(2.0, (9, 7, 5)).astype("f4")
    with h5py.File(path, "w") as file:
        for split, trials in (("train", 9), ("valid", 4)):
            file.create_dataset(f"{split}_encod_data", data=counts[:trials], chunks=(trials, 7, 5), compression="gzip")
        where = [file[f"{split}_encod_data"].id.get_chunk_info(0).byte_offset for split in ("train", "valid")]
    session = read_hdf5(path, name="monday")
    with path.open("r+b") as raw:
        for offset in where:
            raw.seek(offset)
            raw.write(b"damage of some bytes")
    with pytest.raises(OSError, match="read"), h5py.File(path) as file:
        file["train_encod_data"][()]
    arrays, _, _ = written(session)
    np.testing.assert_array_equal(arrays["train_encod_data"], counts)
