"""Preparing: what a collection's file asks for is made once, and nothing that is there is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump_plain
from lfads_core.errors import ConfigError, DataError, LfadsError, RunError
from lfads_core.plugins import load_registry
from lfads_plugins_tune.collection.folder import Collection
from lfads_plugins_tune.collection.prepare import data_of, is_current, prepare


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and contents of every file."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def again(collection):
    return prepare(collection, load_registry())


def rewrite(collection, **changes):
    spec = yaml.safe_load(collection.spec_path.read_text())
    for key, value in changes.items():
        group, _, last = key.rpartition("__")
        target = spec
        for step in filter(None, group.split("__")):
            target = target.setdefault(step, {})
        target[last] = value
    collection.spec_path.write_text(dump_plain(spec))


def test_every_dataset_comes_with_every_combination_of_what_varies(prepared):
    sweep, done = prepared(
        vary={"optim.lr": [1e-3, 4e-3], "train.seed": [0, 1]}, data={"each": ["../sessions/*.h5"], "together": {"both": ["../sessions"]}}
    )
    assert len(done.made) == 12
    assert done.made[:4] == ["a__lr0.001__train.seed0", "a__lr0.001__train.seed1", "a__lr0.004__train.seed0", "a__lr0.004__train.seed1"]
    assert [name for name in done.made if name.startswith("both")] == [f"both__lr{lr}__train.seed{seed}" for lr in (0.001, 0.004) for seed in (0, 1)]
    config = resolve([sweep.entry("both__lr0.001__train.seed1").run.config_path], [], [], load_registry())
    assert (config.optim.lr, config.train.seed, config.model.generator.hidden) == (1e-3, 1, 8)
    record = sweep.entry("both__lr0.001__train.seed1").record()
    assert (record.dataset, record.varied, record.files) == ("both", {"optim.lr": 1e-3, "train.seed": 1}, ["../sessions/a.h5", "../sessions/b.h5"])


def test_preparing_again_changes_nothing(prepared):
    sweep, _ = prepared(vary={"optim.lr": [1e-3, 4e-3]})
    before = snapshot(sweep.path)
    done = again(sweep)
    assert (list(done.made), len(done.kept), list(done.former), list(done.notes)) == ([], 4, [], [])
    assert snapshot(sweep.path) == before


def test_what_is_added_to_the_file_is_made_and_the_rest_left_alone(prepared):
    sweep, _ = prepared(vary={"optim.lr": [1e-3]})
    before = snapshot(sweep.path)
    rewrite(sweep, vary={"optim.lr": [1e-3, 2e-3]})
    assert not is_current(sweep)
    assert again(sweep).made == ["a__lr0.002", "b__lr0.002"]
    assert is_current(sweep)
    after = snapshot(sweep.path)
    assert {name for name in before if after[name] != before[name]} == {"collection.yaml", "plan.json"}
    assert sweep.planned() == ["a__lr0.001", "a__lr0.002", "b__lr0.001", "b__lr0.002"]


def test_writing_settings_in_another_way_makes_no_new_runs(prepared):
    sweep, _ = prepared(vary={"optim.lr": [0.001]}, settings={"train": {"epochs": 7}})
    rewrite(sweep, vary={"optim.lr": ["1e-3"]}, settings={"train": {"epochs": 7, "threads": 1}, "optim": {"decay": 0.95}, "track": {"mlflow": False}})
    assert (again(sweep).made, again(sweep).kept) == ([], ["a__lr0.001", "b__lr0.001"])


def test_a_run_whose_settings_change_is_left_and_a_new_one_made_beside_it(prepared):
    sweep, _ = prepared(vary={"optim.lr": [1e-3]})
    before = snapshot(sweep.runs_path)
    rewrite(sweep, settings__train__epochs=9)
    done = again(sweep)
    assert [re.sub("[0-9a-f]{6}$", "HASH", name) for name in done.made] == ["a__lr0.001__HASH", "b__lr0.001__HASH"]
    assert done.former == ["a__lr0.001", "b__lr0.001"]
    assert done.notes[0] == f"a__lr0.001: its settings changed since it was prepared; it stays as it is, and {done.made[0]} is the run of today"
    assert {name: what for name, what in snapshot(sweep.runs_path).items() if name in before} == before
    assert [entry.name for entry in sweep.others()] == ["a__lr0.001", "b__lr0.001"]
    rewrite(sweep, settings__train__epochs=5)  # back to what it was: the first runs are found again
    assert again(sweep).kept == ["a__lr0.001", "b__lr0.001"]
    assert again(sweep).former == sorted(done.made)


def test_a_run_whose_data_change_is_left_and_a_new_one_made_beside_it(prepared, write_tiny):
    sweep, _ = prepared()
    write_tiny("sessions/a.h5", seed=9)
    done = again(sweep)
    assert (len(done.made), done.kept, done.former) == (1, ["b"], ["a"])
    assert done.notes == [f"a: its data changed since it was prepared; it stays as it is, and {done.made[0]} is the run of today"]
    with pytest.raises(RunError) as err:
        data_of(sweep.entry("a"), sweep, load_registry())
    old, new = sweep.entry("a").record().data_hash, sweep.entry(done.made[0]).record().data_hash
    assert str(err.value) == (
        f"{sweep.path}/runs/a: the data must be those the run was prepared for ({old}), but have changed ({new}). "
        f"Run `lfads collection prepare {sweep.path}`, which makes a new run beside this one."
    )


def test_recordings_that_move_are_found_in_their_new_place(prepared, tmp_path):
    sweep, _ = prepared()
    shutil.move(tmp_path / "sessions", tmp_path / "elsewhere")
    rewrite(sweep, data={"each": ["../elsewhere/*.h5"]})
    assert again(sweep).kept == ["a", "b"]
    assert data_of(sweep.entry("a"), sweep, load_registry()) == [tmp_path / "elsewhere" / "a.h5"]


def test_a_collection_that_moves_with_its_recordings_needs_nothing(prepared, tmp_path):
    prepared()
    (tmp_path / "moved").mkdir()
    for name in ("sweep", "sessions"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    moved = Collection.open(tmp_path / "moved" / "sweep" / "collection.yaml")
    assert data_of(moved.entry("a"), moved, load_registry()) == [tmp_path / "moved" / "sessions" / "a.h5"]
    assert (again(moved).made, again(moved).kept) == ([], ["a", "b"])


def test_where_a_run_is_computed_may_change_until_it_begins(prepared):
    sweep, _ = prepared()
    sweep.entry("b").run.update_state(status="interrupted")
    before = snapshot(sweep.runs_path)
    rewrite(sweep, settings__train__threads=2)
    assert again(sweep).kept == ["a", "b"]
    changed = {name for name, what in snapshot(sweep.runs_path).items() if what != before[name]}
    assert changed == {"a/config.yaml"}


def test_runs_stand_together_in_mlflow_unless_the_settings_say_otherwise(prepared):
    sweep, _ = prepared(variants={"plain": {}, "own": {"settings": {"track": {"experiment": "mine"}, "train": {"seed": 1}}}})
    experiments = {entry.name: yaml.safe_load(entry.run.config_path.read_text())["track"]["experiment"] for entry in sweep.entries()}
    assert experiments == {"a__plain": "sweep", "a__own": "mine", "b__plain": "sweep", "b__own": "mine"}


def test_variants_have_settings_values_and_datasets_of_their_own(prepared):
    sweep, done = prepared(
        settings={"train": {"epochs": 3}},
        variants={
            "gauss": {"plugins": ["gaussian"], "vary": {"train.seed": [1, 2]}},
            "long": {"settings": {"train": {"epochs": 30}}, "datasets": ["b"]},
        },
    )
    assert done.made == ["a__gauss__train.seed1", "a__gauss__train.seed2", "b__gauss__train.seed1", "b__gauss__train.seed2", "b__long"]
    config = resolve([sweep.entry("a__gauss__train.seed2").run.config_path], [], [], load_registry())
    assert (config.components.reconstruction.name, config.train.epochs, config.train.seed) == ("gaussian", 3, 2)
    assert resolve([sweep.entry("b__long").run.config_path], [], [], load_registry()).train.epochs == 30


def test_a_variant_may_be_a_search_with_the_defaults_of_its_kind(prepared):
    sweep, done = prepared(
        data={"each": ["../sessions/a.h5"]},
        variants={
            "plain": {},
            "tuned": {"search": "pbt", "executor": "serial", "settings": {"search": {"members": 3}}},
            "drawn": {"search": "random", "settings": {"search": {"members": 3}}},
        },
    )
    assert done.made == ["a__plain", "a__tuned", "a__drawn"]
    records = [entry.record() for entry in sweep.entries()]
    assert [(record.search, record.executor) for record in records] == [(None, None), ("pbt", "serial"), ("random", None)]
    configs = [resolve([entry.run.config_path], [], [], load_registry()) for entry in sweep.entries()]
    assert [(config.optim.decay, config.optim.min_lr) for config in configs] == [(0.95, 1e-5), (1.0, 0.0), (0.95, 1e-6)]
    assert len({record.settings_hash for record in records}) == 3
    rewrite(sweep, variants__plain={"settings": {"search": {"members": 7}}}, variants__tuned__executor="batched")
    assert again(sweep).kept == ["a__plain", "a__tuned", "a__drawn"]  # a single run has no members, and how they are trained changes no search
    assert sweep.entry("a__tuned").record().executor == "batched"
    rewrite(sweep, variants__tuned__settings={"search": {"members": 4}})
    assert len(again(sweep).made) == 1


def test_recordings_with_too_few_trials_are_left_out_and_said(prepared, write_tiny, tmp_path):
    import numpy as np

    write_tiny("sessions/small.h5", train_encod_data=np.ones((5, 8, 5), np.float32))
    os.utime(tmp_path / "sessions" / "small.h5", (1.6e9, 1.6e9))
    _, done = prepared(
        data={"each": ["../sessions/*.h5"], "together": {"all": ["../sessions/*.h5"]}, "min_trials": 6},
        variants={"one": {"datasets": ["a", "small"]}},
    )
    assert done.made == ["a__one"]
    assert done.notes == ["small: left out, for it has only 5 training trials (data.min_trials)"]


def test_batches_that_cannot_be_filled_are_said_once_for_each_dataset(prepared):
    _, done = prepared(
        settings={"data": {"batch_size": 20}}, vary={"train.seed": [0, 1]}, data={"each": ["../sessions/a.h5"], "together": {"both": ["../sessions"]}}
    )
    assert done.notes == ["a: data.batch_size must not be larger than its 12 training trials, got 20; such runs will fail"]


def test_a_run_that_no_collection_made_is_not_touched(prepared, collection):
    sweep = collection()
    folder = sweep.runs_path / "a"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match=rf"^{re.escape(str(folder))}: must be free for a run of this collection, but is taken\. Move it away\.$"):
        again(sweep)


def test_two_long_names_that_are_cut_alike_are_told_apart(prepared):
    long = [{"name": "coordinated-dropout", "rate": 0.1}] * 5
    variants = {f"{'x' * 90}{i}": {"settings": {"train": {"seed": i}}} for i in range(2)}
    _, done = prepared(vary={"components.train_augmentations": [long]}, variants=variants)
    assert len(set(done.made)) == 4
    assert done.notes == []


FAULTS = [
    (
        {"data": {"each": []}},
        DataError,
        "{yaml}: data: must name at least one recording under 'each' or 'together', got none. Give files or patterns.",
    ),
    (
        {"data": {"each": ["../none/*.h5"]}},
        DataError,
        "{folder}/../none/*.h5: must match at least one file, matched none. Check the folder and the ending.",
    ),
    ({"dat": {}}, ConfigError, "{yaml}:8: dat: no such setting. Did you mean data?"),
    ({"vary": {"optim.lr": []}}, ConfigError, "{yaml}:8: vary.optim.lr: must have at least one value, got an empty list"),
    ({"vary": {"optim.lrr": [1]}}, ConfigError, "{yaml}: vary: optim.lrr: no such setting. Did you mean optim.lr?"),
    ({"vary": {"optim.lr": [-1]}}, ConfigError, "{yaml}: vary: optim.lr: must be > 0, got -1.0"),
    (
        {"vary": {"train.device": ["cpu"]}},
        ConfigError,
        "{yaml}:8: vary.train.device: must change what is computed, but this says only where it is computed or recorded. Take it out",
    ),
    ({"settings": {"optim": {"lr": "fast"}}}, ConfigError, "{yaml}:6: optim.lr: must be a number, got 'fast'"),
    ({"variants": {"v": {"settings": {"optim": {"lr": "fast"}}}}}, ConfigError, "{yaml}:11: optim.lr: must be a number, got 'fast'"),
    (
        {"variants": {"v": {"datasets": ["A"]}}},
        ConfigError,
        "{yaml}:10: variants.v.datasets.0: must be the name of a dataset, got 'A'. There are: a, b",
    ),
    (
        {"variants": {"one": {}, "two": {}}},
        ConfigError,
        "{yaml}: every run must differ from the others in settings or data, but a__two and a__one do not. Take one out.",
    ),
    (
        {"data": {"each": ["../sessions/a.h5"], "together": {"A": ["../sessions/b.h5"]}}},
        DataError,
        "{yaml}: data: every dataset must have a name of its own, got 'a' and 'A'. Rename one.",
    ),
]


@pytest.mark.parametrize(("spec", "kind", "text"), FAULTS, ids=[text[:60] for _, _, text in FAULTS])
def test_a_fault_of_the_file_is_told_with_its_line_and_nothing_is_made(spec, kind, text, collection):
    sweep = collection(**{"settings": {}, "data": {"each": ["../sessions/*.h5"]}, **spec})
    with pytest.raises(kind) as err:
        again(sweep)
    assert re.sub(r":\d+:", ":8:", str(err.value)) == re.sub(r":\d+:", ":8:", text.format(yaml=sweep.spec_path, folder=sweep.path))
    assert not sweep.runs_path.exists()
    assert not sweep.plan_path.exists()


def test_the_line_told_is_that_of_the_setting(collection):
    sweep = collection(settings={"optim": {"lr": "fast"}})
    (number,) = [i for i, line in enumerate(sweep.spec_path.read_text().splitlines(), 1) if "fast" in line]
    with pytest.raises(ConfigError, match=rf":{number}: optim\.lr: must be a number, got 'fast'$"):
        again(sweep)


def test_every_recording_that_cannot_be_read_is_told(collection, tmp_path):
    sweep = collection()
    for name in "cd":
        (tmp_path / "sessions" / f"{name}.h5").write_text("no HDF5")
    with pytest.raises(DataError) as err:
        again(sweep)
    where = sweep.path / ".." / "sessions"
    assert str(err.value).splitlines() == [
        f"{where}/{name}.h5: must be an HDF5 file, got something else. Convert it, or install a plugin that reads it." for name in "cd"
    ]


def test_a_collection_that_is_not_prepared_says_what_to_do(collection):
    sweep = collection()
    with pytest.raises(RunError) as err:
        sweep.entries()
    assert str(err.value) == f"{sweep.path}: nothing is prepared yet. Run `lfads collection prepare {sweep.path}`."
    sweep.plan_path.write_text("{}")
    with pytest.raises(RunError) as err:
        sweep.entries()
    assert str(err.value) == f"{sweep.plan_path}: must be written by `lfads collection prepare`, got: KeyError('runs'). Run it again."
    for damaged in ("5", '[{"name": 1}]', "null"):
        sweep.plan_path.write_text(f'{{"runs": {damaged}}}')
        with pytest.raises(RunError, match="must be written by `lfads collection prepare`, got: TypeError"):
            sweep.entries()


def test_a_folder_without_a_collection_says_what_to_do(tmp_path):
    with pytest.raises(RunError) as err:
        Collection.open(tmp_path)
    assert str(err.value) == f"{tmp_path}: must be a collection's folder, holding collection.yaml, got none. Make one with `lfads collection new`."


def test_a_damaged_record_says_what_to_do(prepared):
    sweep, _ = prepared()
    sweep.entry("a").record_path.write_text("{")
    with pytest.raises(
        LfadsError, match=r"^.*/a/entry\.json: must be written by `lfads collection prepare`, got: .*\. Restore it, or remove the folder\.$"
    ):
        again(sweep)


def test_preparing_needs_no_torch(prepared):
    sweep, _ = prepared(vary={"train.seed": [0, 1, 2]})
    code = (
        "import sys; from pathlib import Path; from lfads_plugins_tune.collection.folder import Collection; "
        "from lfads_plugins_tune.collection.prepare import prepare; from lfads_core.plugins import load_registry; "
        f"prepare(Collection(Path({str(sweep.path)!r})), load_registry()); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
