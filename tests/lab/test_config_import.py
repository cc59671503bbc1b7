"""Settings of other implementations in our names."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.errors import ConfigError
from lfads_core.plugins.registry import Registry
from lfads_plugins_lab.foreign.detect import import_settings

REGISTRY = Registry.from_installed()

TORCH = """\
_target_: lfads_torch.model.LFADS
encod_data_dim: 7
encod_seq_len: 12
recon_seq_len: 12
ext_input_dim: 0
ic_enc_seq_len: 3
ic_enc_dim: 5
ci_enc_dim: 4
ci_lag: 2
con_dim: 6
co_dim: 2
ic_dim: 3
gen_dim: 9
fac_dim: 8
dropout_rate: 0.25
cell_clip: 4.5
variational: true
reconstruction:
  _target_: torch.nn.ModuleList
  modules:
    - - _target_: lfads_torch.modules.recons.Gaussian
co_prior:
  _target_: lfads_torch.modules.priors.AutoregressiveMultivariateNormal
  tau: 20.0
  nvar: 0.05
  shape: ${model.co_dim}
ic_prior:
  _target_: lfads_torch.modules.priors.MultivariateStudentT
  loc: 0.0
  scale: 0.3
  df: 5
  shape: ${model.ic_dim}
train_aug_stack:
  _target_: lfads_torch.modules.augmentations.AugmentationStack
  transforms:
    - _target_: lfads_torch.modules.augmentations.CoordinatedDropout
      cd_rate: 0.4
      cd_pass_rate: 0.1
      ic_enc_seq_len: ${model.ic_enc_seq_len}
    - _target_: lfads_torch.modules.augmentations.SpikeJitter
      width: 3
  batch_order: [1, 0]
  loss_order: [0, 1]
loss_scale: 1.0e+4
recon_reduce_mean: false
lr_init: 4e-3
lr_adam_beta1: 0.8
kl_co_scale: 1.0e-6
l2_gen_scale: 1.0e-3
kl_increase_epoch: 70
"""

TF2 = """\
TRAIN:
  DATA: {DIR: somewhere, PREFIX: lfads}
  BATCH_SIZE: 30
  PATIENCE: 40
  LR: {INIT: 0.01, STOP: 1.0e-4, DECAY: 0.9, PATIENCE: 5}
  KL: {IC_WEIGHT: 1.0e-4, CO_WEIGHT: 2.0e-4, INCREASE_EPOCH: 50}
  L2: {GEN_SCALE: 1.0e-3, CON_SCALE: 2.0e-3}
MODEL:
  DATA_DIM: 7
  SEQ_LEN: 12
  IC_ENC_DIM: 5
  CI_ENC_DIM: 4
  CON_DIM: 6
  CO_DIM: 2
  IC_DIM: 3
  GEN_DIM: 9
  FAC_DIM: 8
  CD_RATE: 0.4
  CD_PASS_RATE: 0.1
  DROPOUT_RATE: 0.05
"""

TF1 = """\
{"ic_enc_dim": 5, "ci_enc_dim": 4, "con_dim": 6, "co_dim": 2, "ic_dim": 3, "gen_dim": 9, "factors_dim": 8, "keep_prob": 0.95,
 "kl_ic_weight": 1.0, "kl_co_weight": 0.5, "l2_gen_scale": 2000.0, "l2_con_scale": 0.0, "learning_rate_init": 0.01,
 "learning_rate_decay_factor": 0.95, "learning_rate_stop": 1e-05, "learning_rate_n_to_compare": 6, "kl_increase_steps": 2000,
 "prior_ar_atau": 12.0, "do_train_prior_ar_atau": false, "controller_input_lag": 1, "do_causal_controller": true,
 "do_feed_factors_to_controller": true, "feedback_factors_or_rates": "factors", "inject_ext_input_to_gen": true,
 "output_dist": "poisson", "ic_prior_var_min": 0.1, "ic_prior_var_scale": 0.1, "ic_prior_var_max": 0.1, "num_steps": 12,
 "num_steps_for_gen_ic": 9223372036854775807, "dataset_dims": {"day1": 7}, "temporal_spike_jitter_width": 0, "max_grad_norm": 200.0,
 "batch_size": 128, "device": "gpu:0", "cell_weight_scale": 1.0}
"""
FILES = {"lfads-torch": TORCH, "autolfads-tf2": TF2, "LFADS in TensorFlow 1": TF1}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="theirs.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return import_settings((tmp_path / name).relative_to(tmp_path), REGISTRY)

    return write


@pytest.mark.parametrize("name", FILES)
def test_imported_settings_resolve_and_build_a_model_of_the_sizes_in_the_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.txt").write_text(FILES[name], encoding="utf-8")
    rng = np.random.default_rng(0)
    with h5py.File("mine.h5", "w") as file:
        for split, trials in {"train": 20, "valid": 10}.items():
            file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 12, 7)).astype("float32")
    done = CliRunner().invoke(cli, ["config", "import", "theirs.txt", "-o", "ours.yaml"])
    assert done.exit_code == 0, done.output
    assert resolve([tmp_path / "ours.yaml"], [], [], REGISTRY) == import_settings(tmp_path / "theirs.txt", REGISTRY).config
    short = ("train.epochs=1", "infer.samples=1", "track.mlflow=false", "infer.figures=false", "data.batch_size=20")
    done = CliRunner().invoke(cli, ["run", "mine.h5", "ours.yaml", "--name", "one", *(part for text in short for part in ("--set", text))])
    assert done.exit_code == 0, done.output
    import lfads_core

    run = lfads_core.load("runs/one")
    arrays, shapes = run.outputs(), {key: tuple(value.shape) for key, value in run.parameters().items()}
    assert arrays["valid_factors"].shape == (10, 12, 8)
    assert arrays["valid_gen_states"].shape == (10, 12, 9)
    assert arrays["valid_con_states"].shape == (10, 12, 6)
    assert arrays["valid_co_means"].shape == (10, 12, 2)
    assert arrays["valid_ic_mean"].shape == (10, 3)
    assert any(shape[-1] == 5 for key, shape in shapes.items() if key.startswith("encoder"))
    assert sum(torch.numel(p) for p in run.model.parameters()) > 0


def test_every_setting_of_an_lfads_torch_file_finds_its_place(read):
    imported = read(TORCH)
    config = imported.config
    model, components = config.model, config.components
    assert (model.encoder.hidden, model.encoder.ic_bins, model.dropout, model.cell_clip) == (5, 3, 0.25, 4.5)
    assert (model.controller.encoder_hidden, model.controller.hidden, model.controller.inputs, model.controller.lag_bins) == (4, 6, 2, 2)
    assert (model.generator.ic_size, model.generator.hidden, model.generator.factors) == (3, 9, 8)
    assert components.reconstruction.name == "gaussian"
    prior = components.input_prior
    assert (prior.name, prior.settings.tau, prior.settings.variance) == ("autoregressive", 20.0, 0.05)
    assert (components.ic_prior.name, components.ic_prior.settings.scale, components.ic_prior.settings.degrees) == ("student-t", 0.3, 5.0)
    assert [c.name for c in components.train_augmentations] == ["spike-jitter", "coordinated-dropout"]
    assert components.loss_order == ("coordinated-dropout", "spike-jitter")
    assert (components.train_augmentations[1].settings.rate, components.train_augmentations[1].settings.pass_rate) == (0.4, 0.1)
    assert (config.optim.lr, config.optim.betas) == (4e-3, (0.8, 0.999))
    assert (config.regularisation.reduce, config.regularisation.kl_inputs, config.regularisation.kl_ramp.increase_epochs) == ("sum", 1e-6, 70)
    assert {item.key: item.why for item in imported.left} == {
        "_target_": "there is one kind of model",
        **dict.fromkeys(("encod_data_dim", "encod_seq_len", "recon_seq_len", "ext_input_dim"), "sizes are found in the data"),
    }


def test_sections_may_stand_together_under_their_names(read):
    imported = read("model: {fac_dim: 11}\ndatamodule: {batch_size: 256, datafile_pattern: a.h5}\ntrainer: {max_epochs: 7}\n")
    assert (imported.config.model.generator.factors, imported.config.data.batch_size, imported.config.train.epochs) == (11, 256, 7)
    assert [item.key for item in imported.left] == ["datamodule.datafile_pattern"]


@pytest.mark.parametrize(("theirs", "ours"), [("32", "float32"), ("32-true", "float32"), ("bf16", "bf16"), ("bf16-mixed", "bf16")])
def test_the_precision_of_a_trainer_comes_along(read, theirs, ours):
    imported = read(f"model: {{fac_dim: 11}}\ntrainer: {{precision: {theirs}}}\n")
    assert (imported.config.train.precision, imported.left) == (ours, ())


def test_a_precision_without_counterpart_is_told(read):
    imported = read("model: {fac_dim: 11}\ntrainer: {precision: 16-mixed}\n")
    assert imported.config.train.precision == "float32"
    assert [item.why for item in imported.left] == ["numbers are float32; train.precision=bf16 has products in bfloat16"]


def test_every_setting_of_an_autolfads_tf2_file_finds_its_place(read):
    imported = read(TF2)
    config = imported.config
    assert (config.data.batch_size, config.train.early_stopping) == (30, 40)
    assert (config.optim.lr, config.optim.min_lr, config.optim.decay, config.optim.patience) == (0.01, 1e-4, 0.9, 5)
    assert (config.regularisation.kl_ic, config.regularisation.kl_inputs) == (1e-4, 2e-4)
    assert (config.regularisation.l2_generator, config.regularisation.l2_controller) == (1e-3, 2e-3)
    assert config.model.controller.inputs == 2
    (dropout,) = config.components.train_augmentations
    assert (dropout.name, dropout.settings.rate, dropout.settings.pass_rate) == ("coordinated-dropout", 0.4, 0.1)
    assert {item.key for item in imported.left} == {"TRAIN.DATA.DIR", "TRAIN.DATA.PREFIX", "MODEL.DATA_DIM", "MODEL.SEQ_LEN"}


def test_every_flag_of_tf1_finds_its_place_and_the_loss_is_a_sum_as_there(read):
    imported = read(TF1, "hyperparameters-0.txt")
    config = imported.config
    assert config.model.dropout == 0.05
    assert (config.model.controller.causal, config.model.controller.feedback, config.model.external_inputs) == (True, "factors", "generator")
    assert (config.components.input_prior.settings.tau, config.components.input_prior.settings.train_tau) == (12.0, False)
    assert (config.components.ic_prior.settings.variance, config.components.ic_prior.settings.train_variance) == (0.1, False)
    assert config.components.train_augmentations == ()
    assert (config.regularisation.reduce, config.regularisation.loss_scale, config.optim.eps) == ("sum", 1.0, 0.1)
    assert (config.regularisation.kl_ic, config.regularisation.kl_inputs, config.regularisation.l2_generator) == (1.0, 0.5, 2000.0)
    why = {item.key: item.why for item in imported.left}
    assert why["kl_increase_steps"] == (
        "counted in steps there and in epochs here; an epoch has trials / batch size steps: set regularisation.kl_ramp.increase_epochs"
    )
    assert why["dataset_dims"] == why["num_steps"] == "sizes are found in the data"


def test_options_of_tf1_that_few_use_come_along(read):
    imported = read(
        '{"factors_dim": 4, "co_dim": 1, "con_dim": 2, "ci_enc_dim": 3, "do_feed_factors_to_controller": false, "inject_ext_input_to_gen": false,'
        ' "in_factors_dim": 5, "num_steps_for_gen_ic": 10, "ic_prior_var_min": 0.01, "ic_prior_var_scale": 0.1, "ic_prior_var_max": 0.5,'
        ' "keep_ratio": 0.7, "cd_grad_passthru_prob": 0.1, "temporal_spike_jitter_width": 2, "max_ckpt_to_keep_lve": 5}'
    )
    assert imported.config.train.keep_best == 5
    config = imported.config
    assert (config.model.controller.feedback, config.model.external_inputs, config.model.encoder.read_bins) == ("none", "encoders", 10)
    assert (config.components.readin.name, config.components.readin.settings.size) == ("linear", 5)
    prior = config.components.ic_prior.settings
    assert (prior.train_variance, prior.min_variance, prior.variance, prior.max_variance) == (True, 0.01, 0.1, 0.5)
    jitter, dropout = config.components.train_augmentations
    assert (jitter.name, jitter.settings.width, dropout.settings.rate, dropout.settings.pass_rate) == ("spike-jitter", 2, 0.3, 0.1)


@pytest.mark.parametrize(
    "text",
    [
        "gen_dim: 5\nfac_dim: 3\nco_dim: 0\ncon_dim: 4\nci_lag: 1\n",
        "MODEL: {GEN_DIM: 5, FAC_DIM: 3, CO_DIM: 0, CON_DIM: 4, CI_LAG: 1}\n",
        '{"gen_dim": 5, "factors_dim": 3, "co_dim": 0, "con_dim": 4, "controller_input_lag": 1}',
    ],
    ids=["lfads-torch", "autolfads-tf2", "tf1"],
)
def test_a_size_of_zero_turns_the_controller_off_as_there(read, text):
    imported = read(text)
    assert imported.config.model.controller is None
    assert imported.config.model.generator.factors == 3
    assert "there is no controller" in {item.why for item in imported.left}


def test_a_misspelt_key_is_told_with_what_it_may_have_been(read):
    imported = read("gen_dim: 5\nfac_dims: 3\nMODEL_ZOO: 1\n")
    assert [(item.key, item.why) for item in imported.left] == [
        ("fac_dims", "no such key there; did you mean fac_dim?"),
        ("MODEL_ZOO", "no such key there"),
    ]


def test_a_part_without_counterpart_is_told(read):
    imported = read("gen_dim: 5\nco_prior:\n  _target_: my.own.Prior\n  strength: 2\nreadin: {_target_: torch.nn.Identity}\n")
    assert [(item.key, item.why) for item in imported.left] == [
        ("co_prior", "Prior: no counterpart by that name here; lfads plugins list shows what there is, and plugins are how to add one"),
        ("readin", "no read-in, the default for one session"),
    ]


def test_values_that_cannot_be_meant_are_all_told_with_their_line(read):
    with pytest.raises(ConfigError) as err:
        read("gen_dim: many\nfac_dim: 2.5\ndropout_rate: [1]\nvariational: 3\n")
    assert str(err.value).splitlines() == [
        "theirs.yaml:1: gen_dim: must be a whole number, got 'many'",
        "theirs.yaml:2: fac_dim: must be a whole number, got 2.5",
        "theirs.yaml:3: dropout_rate: must be a number, got [1]",
        "theirs.yaml:4: variational: must be true or false, got 3",
    ]


def test_a_value_that_we_refuse_is_told_by_the_key_that_brought_it(read):
    with pytest.raises(ConfigError) as err:
        read("gen_dim: 0\ndropout_rate: 1.5\n")
    assert str(err.value).splitlines() == [
        "theirs.yaml: gen_dim (here model.generator.hidden): must be >= 1, got 0",
        "theirs.yaml: dropout_rate (here model.dropout): must be >= 0 and < 1, got 1.5",
    ]


def test_a_file_of_nobody_is_refused(read):
    with pytest.raises(ConfigError) as err:
        read("optim: {lr: 0.1}\n")
    assert str(err.value) == (
        "theirs.yaml: must be settings of lfads-torch (gen_dim, fac_dim, ...), autolfads-tf2 (MODEL, TRAIN) or LFADS in TensorFlow 1 "
        "(factors_dim, keep_prob, ...), got the keys optim. Settings of lfads itself are checked by 'lfads config check'."
    )


JUNK = ["[1, 2]", "null", "{}", "''", "1e999", "{a: {b: [1, {c: 2}]}}", "'${model.gen_dim}'", "[[_target_]]", "{_target_: 3}"]
JUNK += ["{transforms: 4}", "-3", "true"]


def junk_files():
    """Each key of each program with something that nobody would write there."""
    from lfads_plugins_lab.foreign import lfads_torch, tf1, tf2

    keys = [key for table in lfads_torch.SECTIONS.values() for key in table if key != "gen_dim"]
    yield "gen_dim: 5\n{}: {}\n", keys
    yield "MODEL:\n  X: 1\n  GEN_DIM: 5\n  {}: {}\n", [key.split(".")[1] for key in tf2.TABLE if key.startswith("MODEL.")]
    flags = [key for key in tf1.TABLE if key not in {"factors_dim", "keep_prob", "num_steps"}]
    yield "{{factors_dim: 4, keep_prob: 0.9, num_steps: 3, {}: {}}}\n", flags


@pytest.mark.parametrize("shift", [3, *(pytest.param(i, marks=pytest.mark.slow) for i in range(len(JUNK)) if i != 3)])
def test_whatever_stands_there_is_settings_or_a_sentence(read, shift):
    for text, keys in junk_files():
        for i, key in enumerate(keys):
            told = "theirs.yaml"
            try:
                read(text.format(key, JUNK[(i + shift) % len(JUNK)]))
            except ConfigError as err:
                told = str(err)
            assert told.startswith("theirs.yaml")


def test_the_command_prints_settings_with_what_was_left_as_comments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.yaml").write_text("fac_dim: 12\nencod_seq_len: 30\n", encoding="utf-8")
    done = CliRunner().invoke(cli, ["config", "import", "theirs.yaml"])
    assert done.exit_code == 0
    assert done.stdout == (
        "# From theirs.yaml (lfads-torch) by 'lfads config import'.\n"
        "# not taken over: encod_seq_len: sizes are found in the data\n"
        "model:\n  generator:\n    factors: 12\n\n"
        "data:\n  passes: 1\n\ntrain:\n  average: 0\n"  # what there is none of over there
    )
    assert done.stderr == "not taken over: encod_seq_len: sizes are found in the data\n"
    (tmp_path / "ours.yaml").write_text("mine", encoding="utf-8")
    done = CliRunner().invoke(cli, ["config", "import", "theirs.yaml", "-o", "ours.yaml"])
    assert (done.exit_code, done.stderr) == (2, "error: ours.yaml: is there already. Choose another name, or --force to replace it.\n")
    done = CliRunner().invoke(cli, ["config", "import", "theirs.yaml", "-o", "ours.yaml", "--force"])
    assert re.fullmatch(r"ours\.yaml: 1 settings of lfads-torch\. Next: lfads config check ours\.yaml\n", done.stdout)
