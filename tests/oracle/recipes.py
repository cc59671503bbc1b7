"""The cases of our own model fixtures: what each changes, and how its data look. Letters as in the published set; ``y_*`` are extra."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle.weights import AUTOREGRESSIVE, NO_CONTROLLER, NULL


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model fixture."""

    name: str
    note: str
    config: Mapping[str, Any] = field(default_factory=dict)
    sampled: bool = False
    data: str = "counts"  # or "real", "positive", "zero_inflated"
    ext_bins: str = "encoded"  # bins given of the external input: "encoded" or "all"
    spread: float = 1.0
    channels: tuple[int, ...] = ()  # several sessions
    trials: tuple[int, ...] = ()
    readin_frozen: bool = False
    bias: Mapping[int, float] = field(default_factory=dict)  # entries of readout.0.bias that are set
    dropout: bool = False
    cd: tuple[float, float] | None = None  # rate, pass rate
    missing: float = 0.0  # share of missing values


STUDENT_T: dict[str, Any] = {
    "ic_prior": {"type": "MultivariateStudentT", "loc": 0.3, "scale": 0.6, "df": 5},
    "co_prior": {"type": "MultivariateStudentT", "loc": -0.2, "scale": 0.4, "df": 7},
}
ZIG: dict[str, Any] = {"type": "ZeroInflatedGamma", "recon_dim": 6, "gamma_loc": 0.2, "scale_init": 2.0, "scale_prior": 1.5, "scale_penalty": 0.4}
NORMAL_CO: dict[str, Any] = {"type": "MultivariateNormal", "mean": 0.02, "variance": 0.2}
LINEAR = {"readout": "Linear"}
THREE: dict[str, Any] = {"channels": (5, 7, 7), "trials": (3, 2, 4)}
THREE_CONFIG: dict[str, Any] = {"encod_data_dim": 3, "recon_dim": 3}

RECIPES = (
    Recipe(name="a_poisson_controller_cosmooth_forward", note="autoregressive prior on controller outputs; posterior means decoded"),
    Recipe(
        name="a2_poisson_mvn_co_prior",
        note="normal prior on controller outputs; ramps at 1; loss_scale 1e4",
        config={"co_prior": NORMAL_CO, "current_epoch": 25, "loss_scale": 1e4},
    ),
    Recipe(
        name="b_no_controller_ext_input",
        note="external input shorter than the output (zeros appended); reconstruction summed over bins and channels",
        config={**NO_CONTROLLER, "ext_input_dim": 2, "recon_reduce_mean": False},
    ),
    Recipe(name="b2_no_controller_no_input", note="the generator runs on its own: inputs of width 0", config=NO_CONTROLLER),
    Recipe(
        name="c_controller_ext_ic_enc_seq",
        note="IC segment; the external input starts at output bin 0, as it does everywhere, and covers the encoded bins",
        config={"ext_input_dim": 2, "ic_enc_seq_len": 2},
    ),
    Recipe(
        name="c2_controller_ext_full_ic_enc_seq",
        note="IC segment; external input for all output bins",
        config={"ext_input_dim": 2, "ic_enc_seq_len": 2},
        ext_bins="all",
    ),
    Recipe(name="d_ci_lag0", note="controller input without lag", config={"ci_lag": 0}),
    Recipe(name="d2_ci_lag3", note="controller input with lag 3", config={"ci_lag": 3}),
    Recipe(
        name="e_gaussian",
        note="variance of channel 0 below its floor of 1e-6",
        config={"recon": {"type": "Gaussian"}, **LINEAR},
        data="real",
        bias={6: -25.0},
    ),
    Recipe(name="f_gamma", note="positive data", config={"recon": {"type": "Gamma"}, **LINEAR}, data="positive"),
    Recipe(
        name="g_zero_inflated_gamma",
        note="exact zeros; sigmoid floor of 1e-5 active for the shape of channel 1; l2 has the scale penalty",
        config={"recon": ZIG, **LINEAR},
        data="zero_inflated",
        bias={1: -20.0},
    ),
    Recipe(name="h_multisession_pcr", note="three sessions, frozen read-ins", config=THREE_CONFIG, readin_frozen=True, **THREE),
    Recipe(name="h2_multisession_trainable_readin_sampled", note="three sessions, trainable read-ins", config=THREE_CONFIG, sampled=True, **THREE),
    Recipe(name="i_studentt_means", note="sample = loc + scale * normal * sqrt(df / chi2)", config=STUDENT_T),
    Recipe(name="i2_studentt_sampled", note="sample = loc + scale * normal * sqrt(df / chi2)", config=STUDENT_T, sampled=True),
    Recipe(name="l_sampled_fixed_eps", note="samples decoded, external input", config={"ext_input_dim": 2}, sampled=True),
    Recipe(name="l2_sampled_mvn_co_prior", note="samples decoded", config={"ci_lag": 0, "co_prior": NORMAL_CO}, sampled=True),
    Recipe(name="m_cell_clip", note="many states at the clip", config={"cell_clip": 0.5}, spread=3.0),
    Recipe(name="m2_cell_clip_sampled", note="many states at the clip", config={"cell_clip": 0.5}, spread=3.0, sampled=True),
    Recipe(
        name="q_dropout_given_masks",
        note="0/1 keep masks; kept values divided by 0.7; con_input = [ci forward, ci backward, previous factors]",
        config={"dropout_rate": 0.3, "ext_input_dim": 2},
        sampled=True,
        dropout=True,
    ),
    Recipe(name="x_mse", note="squared error", config={"recon": {"type": "MSE"}}, data="real"),
    Recipe(name="x_poisson_bps", note="in bits per mean count, relative to each channel's mean rate", config={"recon": {"type": "PoissonBPS"}}),
    Recipe(
        name="x_nonvariational",
        note="null priors: both KLs are 0",
        config={"variational": False, "ic_prior": NULL, "co_prior": NULL},
    ),
    Recipe(
        name="x_l2_partial",
        note="only the generator's kernel counts, in the sum and in the number of entries",
        config={"l2_ic_enc_scale": 0.0, "l2_ci_enc_scale": 0.0, "l2_gen_scale": 0.9, "l2_con_scale": 0.0, "current_epoch": 3},
    ),
    Recipe(name="k_cd_model", note="grads/* show the blocking", sampled=True, cd=(0.35, 0.1)),
    Recipe(
        name="k_cd_model_ic_enc_seq",
        note="the mask starts at data bin 2 and lies on output bin 2 (aligned; the published file of this name lays it on output bin 0)",
        config={"ic_enc_seq_len": 2},
        sampled=True,
        cd=(0.35, 0.1),
    ),
    Recipe(name="k_sbtt_model", note="missing values", sampled=True, missing=0.3),
    Recipe(name="k_sbtt_cd_model", note="missing values, then coordinated dropout", sampled=True, missing=0.3, cd=(0.3, 0.0)),
    Recipe(
        name="y_multisession_gamma_ext_input",
        note="three sessions, two parameters per channel, external input, summed reconstruction",
        config={**THREE_CONFIG, "recon": {"type": "Gamma"}, **LINEAR, "ext_input_dim": 2, "recon_reduce_mean": False},
        data="positive",
        sampled=True,
        **THREE,
    ),
    Recipe(
        name="y_dropout_no_controller",
        note="dropout without a controller",
        config={**NO_CONTROLLER, "dropout_rate": 0.4, "ext_input_dim": 2},
        sampled=True,
        dropout=True,
    ),
    Recipe(
        name="y_dropout_ic_enc_seq_lag0",
        note="dropout with an IC segment and lag 0",
        config={"dropout_rate": 0.2, "ic_enc_seq_len": 2, "ci_lag": 0},
        sampled=True,
        dropout=True,
    ),
    Recipe(
        name="y_studentt_ic_autoregressive_co_cd_missing_ic_enc_seq",
        note="everything at once: Student-t and autoregressive priors, IC segment, lag 2, missing values, coordinated dropout, external input",
        config={"ic_prior": STUDENT_T["ic_prior"], "co_prior": AUTOREGRESSIVE, "ic_enc_seq_len": 2, "ci_lag": 2, "ext_input_dim": 2},
        ext_bins="all",
        sampled=True,
        missing=0.2,
        cd=(0.3, 0.2),
    ),
)
"""All model fixtures, in the order in which they are made."""
