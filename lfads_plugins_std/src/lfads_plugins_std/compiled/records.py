"""The records that the C functions read (``source/loops.c`` has the same, field by field), and tensors as they stand in them."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor


class TensorView(ctypes.Structure):
    """A tensor (members, trials, bins, features) with unit stride in its features."""

    _fields_: ClassVar = [("at", ctypes.c_void_p), ("member", ctypes.c_int64), ("trial", ctypes.c_int64), ("bin", ctypes.c_int64)]


def _record(*, numbers: str, clip: str, views: str, pointers: str, views_back: str, pointers_back: str) -> list[tuple[str, Any]]:
    groups = (
        (numbers, ctypes.c_int64),
        (clip, ctypes.c_double),
        (views, TensorView),
        (pointers, ctypes.c_void_p),
        (views_back, TensorView),
        (pointers_back, ctypes.c_void_p),
    )
    return [(name, kind) for names, kind in groups for name in names.split()]


class GRUJob(ctypes.Structure):
    """``gru_job``."""

    _fields_: ClassVar = _record(
        numbers="members trials bins inputs hidden threads reverse",
        clip="clip",
        views="x h0 d_states d_last",
        pointers="input recurrent bias states gates d_x d_h0 d_input d_recurrent d_bias",
        views_back="",
        pointers_back="",
    )


class LoopJob(ctypes.Structure):
    """``loop_job``."""

    _fields_: ClassVar = [
        *_record(
            numbers="members trials bins threads ci external inputs con gen factors",
            clip="clip",
            views="c0 g0 f0 ci_at external_at noise con_mask state_mask",
            pointers="con_input con_recurrent con_bias posterior posterior_bias gen_input gen_recurrent gen_bias readout",
            views_back="states path con_states mean std drawn",
            pointers_back="con_gates gen_gates",
        ),
        *_record(
            numbers="",
            clip="",
            views="d_states d_path d_con_states d_mean d_std d_drawn",
            pointers="d_c0 d_g0 d_f0 d_ci d_external d_noise d_con_input d_con_recurrent d_con_bias d_posterior d_posterior_bias "
            "d_gen_input d_gen_recurrent d_gen_bias d_readout",
            views_back="",
            pointers_back="",
        ),
    ]


def grouped(value: Tensor, members: int, own: int) -> Float[Tensor, "M B *T X"]:
    """A tensor whose axes before its ``own`` last ones have become members and trials."""
    return value.reshape(members, value.shape[:-own].numel() // max(members, 1), *value.shape[-own:])


def readable(value: Float[Tensor, "M B *T X"]) -> Float[Tensor, "M B *T X"]:
    """The tensor itself if its features lie side by side, else a copy of which that is true."""
    return value if value.stride(-1) == 1 or value.shape[-1] <= 1 else value.contiguous()


def view(value: Float[Tensor, "M B *T X"] | None) -> TensorView:
    """A readable tensor, with bins or without, as C sees it; absent tensors are null."""
    if value is None:
        return TensorView(None, 0, 0, 0)
    strides = value.stride()
    return TensorView(value.data_ptr(), strides[0], strides[1], strides[2] if value.dim() == 4 else 0)


def pointer(value: Tensor | None) -> int | None:
    """Where a contiguous tensor lies; absent tensors are null."""
    return None if value is None else value.data_ptr()
