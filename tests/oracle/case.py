"""What one evaluation of the model depends on, and what comes back. Names are those of the parity files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle.arrays import Array
from oracle.gru import Weights


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session's part of a batch. NaN marks missing values. ``ext_input[:, 0]`` belongs to output bin 0, always."""

    encod_data: Array  # (B, T_enc, N_enc)
    recon_data: Array  # (B, T_rec, N_rec)
    ext_input: Array  # (B, up to T_rec, E); zeros are appended


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything one evaluation depends on. Names are those of the parity files."""

    weights: Weights
    config: Mapping[str, Any]
    sessions: tuple[Session, ...]
    sample_posteriors: bool = False
    noise: Mapping[str, Array] = field(default_factory=dict)
    dropout_masks: Mapping[str, Array] = field(default_factory=dict)
    cd_rate: float = 0.0
    masks: Mapping[str, Array] = field(default_factory=dict)  # cd_mask, pass_mask (B, T_enc - ic_enc_seq_len, N_enc)
    loss_mask_first_bin: int | None = None  # None: aligned, at bin ic_enc_seq_len. 0 repeats the reference's known shift.


@dataclass(frozen=True, kw_only=True)
class Result:
    """Arrays under the names of the parity files, without the group: ``outputs["factors"]``, ``loss["total"]``."""

    outputs: dict[str, Array]
    loss: dict[str, Array]
    intermediate: dict[str, Array]
    inputs: dict[str, Array]  # *_after_augmentation, where something was changed


def has_controller(config: Mapping[str, Any]) -> bool:
    """Whether none of the three controller sizes is 0."""
    return min(config["ci_enc_dim"], config["con_dim"], config["co_dim"]) > 0
