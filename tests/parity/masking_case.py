"""Replay of the augmentations that hide or leave out values: coordinated dropout, sample validation, missing values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lfads_core.components import AbstractAugmentation
from lfads_core.components.batch import Batch
from lfads_core.rng import stream
from lfads_plugins_calcium.sbtt import SelectiveBackprop
from lfads_plugins_std.masking import CoordinatedDropout, SampleValidation
from lfads_plugins_std.settings import CoordinatedDropoutConfig, SampleValidationConfig
from parity.fixture import Fixture, tensor
from parity.report import Report

_SHIFTED = "the file lays the mask on output bin 0, ic_enc_seq_len bins early; reproduced by batch.ic_bins = 0 in the loss alone"
_ALIGNED = "expected value made from the file's mask, laid on output bin ic_enc_seq_len where its data lie: our convention"
_GIVEN = {"encod_data", "recon_data", "loss_in", "loss_weight", "ic_enc_seq_len", "recon_reduce_mean"}


def _batch(given: dict[str, np.ndarray], segment: int) -> Batch:
    encod = tensor(given["encod_data"])
    recon = tensor(given.get("recon_data", np.zeros_like(given["loss_in"])))
    return Batch(encod=encod, recon=recon, external=encod.new_zeros(len(encod), encod.shape[1], 0), trials=torch.arange(len(encod)), ic_bins=segment)


def _weighed(part: AbstractAugmentation, batch: Batch, given: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """The weighed loss, and the gradient of its weighted sum with respect to the loss before."""
    loss = tensor(given["loss_in"]).requires_grad_()
    out = part.weigh(loss, batch)
    return out, torch.autograd.grad((tensor(given["loss_weight"]) * out).sum(), loss)[0]


def _laid(block: np.ndarray, like: np.ndarray, first: int) -> np.ndarray:
    """The block on a field of ones."""
    laid = np.ones_like(like)
    laid[:, first : first + block.shape[1], : block.shape[2]] = block
    return laid


def _compare_layouts(report: Report, group: str, given: dict[str, np.ndarray], part: AbstractAugmentation, batch: Batch, factor: np.ndarray) -> int:
    """Compare loss and gradient in the layout that the file has; returns the bin on which its mask lies.

    ``factor`` is what the gradient is multiplied by within the block, made from the file's mask alone.
    """
    segment, grad = batch.ic_bins, given["grad_weighted_sum_wrt_loss_in"]
    weighed = _weighed(part, batch, given)
    misaligned = segment > 0 and np.abs(grad - weighed[1].numpy()).max() > report.tolerance * np.abs(grad).max()
    if misaligned:
        report.compare(
            f"{group}/grad_weighted_sum_wrt_loss_in (aligned)", given["loss_weight"] * _laid(factor, grad, segment), weighed[1], note=_ALIGNED
        )
        weighed = _weighed(part, replace(batch, ic_bins=0), given)
    note = _SHIFTED if misaligned else ""
    report.compare(f"{group}/loss_out", given["loss_out"], weighed[0], note=note)
    report.compare(f"{group}/grad_weighted_sum_wrt_loss_in", grad, weighed[1], note=note)
    return 0 if misaligned else segment


def replay_coordinated_dropout(fixture: Fixture, report: Report) -> None:
    """``cd<i>``."""
    given_names = _GIVEN | {"cd_mask", "pass_mask", "cd_rate", "cd_pass_rate"}
    report.expected = {name for name in fixture.arrays if name.rpartition("/")[2] not in given_names}
    for group in fixture.subgroups("cd"):
        given = fixture.group(group)
        rate = float(given["cd_rate"])
        part = CoordinatedDropout(CoordinatedDropoutConfig(rate=rate, pass_rate=float(given["cd_pass_rate"])))
        before = _batch(given, int(given["ic_enc_seq_len"]))
        noise = {"keep": tensor(given["cd_mask"]), "pass": tensor(given["pass_mask"])}
        if rate == 0:  # the framework draws no masks then
            report.require(f"{group}/cd_mask", bool((given["cd_mask"] == 1).all()), note="rate 0 hides nothing")
            noise = dict(part.draw(before, stream(0, "replay")))
        batch = part.augment(before, noise)
        learn = batch.masks.get(f"{part.name}/learn", torch.ones(given["grad_mask"].shape))
        report.compare(f"{group}/encod_data_out", given["encod_data_out"], batch.encod)
        report.compare(f"{group}/grad_mask", given["grad_mask"], learn)
        _compare_layouts(report, group, given, part, batch, given["grad_mask"])


def replay_sample_validation(fixture: Fixture, report: Report) -> None:
    """``sv<i>``."""
    report.expected = {name for name in fixture.arrays if name.rpartition("/")[2] not in _GIVEN | {"sv_mask", "sv_rate"}}
    for group in fixture.subgroups("sv"):
        given = fixture.group(group)
        rate, mask = float(given["sv_rate"]), given["sv_mask"]
        mean = bool(given["recon_reduce_mean"])
        part = SampleValidation(SampleValidationConfig(rate=rate, reduce="mean" if mean else "sum"))
        batch = part.augment(_batch(given, int(given["ic_enc_seq_len"])), {"keep": tensor(mask)})
        report.compare(f"{group}/encod_data_out", given["encod_data_out"], batch.encod)
        first = _compare_layouts(report, group, given, part, batch, mask / (1 - rate))
        _compare_held_out(report, group, given, part, batch, first)


def _compare_held_out(report: Report, group: str, given: dict[str, np.ndarray], part: SampleValidation, batch: Batch, first: int) -> None:
    """The logged loss on hidden values, as the file lays it, and as we lay it when that differs."""
    segment, mask, rate = batch.ic_bins, given["sv_mask"], float(given["sv_rate"])
    loss = tensor(given["loss_in"])
    logged = part.measure(loss, replace(batch, ic_bins=first))["sample_validation"]
    report.compare(f"{group}/logged_heldout", given["logged_heldout"], logged, note="" if first == segment else _SHIFTED)
    if first != segment:
        block = given["loss_in"][:, segment : segment + mask.shape[1], : mask.shape[2]] * (1 - mask) / rate
        wanted = block.mean() if part.config.reduce == "mean" else block.sum(axis=(1, 2)).mean()
        report.compare(f"{group}/logged_heldout (aligned)", wanted, part.measure(loss, batch)["sample_validation"], note=_ALIGNED)


def replay_missing_values(fixture: Fixture, report: Report) -> None:
    """``k_sbtt``: missing inputs and targets."""
    given = dict(fixture.arrays)
    report.expected = given.keys() - _GIVEN
    part = SelectiveBackprop()
    batch = part.augment(_batch(given, 0), {})
    report.compare("encod_data_out", given["encod_data_out"], batch.encod)
    report.compare("recon_data_out", given["recon_data_out"], batch.recon)
    report.compare("isnan", given["isnan"], 1 - batch.masks[f"{part.name}/observed"])
    loss, grad = _weighed(part, batch, given)
    report.compare("loss_out", given["loss_out"], loss)
    report.compare("grad_weighted_sum_wrt_loss_in", given["grad_weighted_sum_wrt_loss_in"], grad)
