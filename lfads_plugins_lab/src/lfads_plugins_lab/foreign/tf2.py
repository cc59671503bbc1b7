"""Settings of autolfads-tf2 (YAML with ``MODEL`` and ``TRAIN``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lfads_core.config.faults import Path
from lfads_core.wording import shown
from lfads_plugins_lab.foreign.reading import PLACE, SIZE, Reading, Translation, apply, controller, keep, left, number, size

_DISTRIBUTIONS = {"poisson": "poisson", "gaussian": "gaussian", "gamma": "gamma", "zig": "zero-inflated-gamma"}


def _distribution(reading: Reading, key: str, where: Path, value: Any) -> None:
    name = _DISTRIBUTIONS.get(str(value).lower())
    if name is None:
        reading.fault(key, where, f"must be one of {', '.join(_DISTRIBUTIONS)}, got {shown(value)}")
    else:
        reading.put(key, "components.reconstruction", name)


TABLE: dict[str, Translation] = {
    "MODEL.IC_DIM": size("model.generator.ic_size"),
    "MODEL.GEN_DIM": size("model.generator.hidden"),
    "MODEL.FAC_DIM": size("model.generator.factors"),
    "MODEL.IC_ENC_DIM": size("model.encoder.hidden"),
    "MODEL.IC_ENC_SEQ_LEN": keep,
    "MODEL.IC_POST_VAR_MIN": number("model.encoder.min_variance"),
    "MODEL.CI_ENC_DIM": keep,
    "MODEL.CON_DIM": keep,
    "MODEL.CO_DIM": keep,
    "MODEL.CI_LAG": keep,
    "MODEL.CELL_CLIP": number("model.cell_clip"),
    "MODEL.DROPOUT_RATE": number("model.dropout"),
    "MODEL.CD_RATE": keep,
    "MODEL.CD_PASS_RATE": keep,
    "MODEL.SV_RATE": keep,
    "MODEL.SV_SEED": left("the seed of a run decides, train.seed"),
    "MODEL.OUTPUT_DIST": _distribution,
    "MODEL.OUTPUT_DISTRIBUTION": _distribution,
    "MODEL.IC_PRIOR_VAR": number("components.ic_prior.variance"),
    "MODEL.IC_PRIOR.MEAN": number("components.ic_prior.mean"),
    "MODEL.IC_PRIOR.VARIANCE": number("components.ic_prior.variance"),
    "MODEL.CO_PRIOR_TAU": number("components.input_prior.tau"),
    "MODEL.CO_PRIOR_NVAR": number("components.input_prior.variance"),
    "MODEL.CO_PRIOR.TAU": number("components.input_prior.tau"),
    "MODEL.CO_PRIOR.NVAR": number("components.input_prior.variance"),
    "MODEL.NORMALIZE_FACTORS": left("rows of the factor matrix always have unit length"),
    "MODEL.SAMPLE_POSTERIORS": left("say it when inferring: lfads infer --means"),
    "MODEL.ALIGN_MODE": left("read-ins are the components linear and pcr"),
    "MODEL.TYPE": left("there is one kind of model"),
    **{f"MODEL.{name}": left(SIZE) for name in ("DATA_DIM", "SEQ_LEN", "EXT_INPUT_DIM", "READIN_DIM")},
    "TRAIN.BATCH_SIZE": size("data.batch_size"),
    "TRAIN.MAX_EPOCHS": size("train.epochs"),
    "TRAIN.PATIENCE": size("train.early_stopping"),
    "TRAIN.MAX_GRAD_NORM": number("optim.clip_norm"),
    "TRAIN.LOSS_SCALE": number("regularisation.loss_scale"),
    "TRAIN.ADAM_EPSILON": number("optim.eps"),
    "TRAIN.LR.INIT": number("optim.lr"),
    "TRAIN.LR.STOP": number("optim.min_lr"),
    "TRAIN.LR.DECAY": number("optim.decay"),
    "TRAIN.LR.PATIENCE": size("optim.patience"),
    "TRAIN.LR.ADAM_EPSILON": number("optim.eps"),
    "TRAIN.KL.START_EPOCH": size("regularisation.kl_ramp.start_epoch"),
    "TRAIN.KL.INCREASE_EPOCH": size("regularisation.kl_ramp.increase_epochs"),
    "TRAIN.KL.IC_WEIGHT": number("regularisation.kl_ic"),
    "TRAIN.KL.CO_WEIGHT": number("regularisation.kl_inputs"),
    "TRAIN.L2.START_EPOCH": size("regularisation.l2_ramp.start_epoch"),
    "TRAIN.L2.INCREASE_EPOCH": size("regularisation.l2_ramp.increase_epochs"),
    "TRAIN.L2.IC_ENC_SCALE": number("regularisation.l2_encoder"),
    "TRAIN.L2.CI_ENC_SCALE": number("regularisation.l2_input_encoder"),
    "TRAIN.L2.GEN_SCALE": number("regularisation.l2_generator"),
    "TRAIN.L2.CON_SCALE": number("regularisation.l2_controller"),
    "TRAIN.NVALID_SAMPLES": left("validation decodes posterior means"),
    "TRAIN.MODEL_DIR": left(PLACE),
    "TRAIN.OVERWRITE": left("a run never replaces another"),
    "TRAIN.TUNE_MODE": left("lfads search pbt does by itself what it switches on"),
    "TRAIN.EAGER_MODE": left("train.recurrence chooses the loops"),
    "TRAIN.USE_TB": left("track.mlflow, on where MLflow is installed"),
    "TRAIN.LOG_HPS_TO_TB": left("hyperparameters are always logged"),
    "TRAIN.ENCODER_ONLY": left("say it when going on: lfads run --resume RUN --set train.only=..."),
    **{f"TRAIN.DATA.{name}": left(PLACE) for name in ("DIR", "PREFIX")},
}


def translate(data: Mapping[str, Any], reading: Reading) -> None:
    """Take all of ``MODEL`` and ``TRAIN`` over."""
    for where, value in leaves(data):
        key = ".".join(map(str, where))
        apply(reading, TABLE, key, where, value, key.upper())
    given = {key.upper(): (key, value) for key, value in reading.given.items()}
    sizes = {
        given[name][0]: ours
        for name, ours in {
            "MODEL.CI_ENC_DIM": "model.controller.encoder_hidden",
            "MODEL.CON_DIM": "model.controller.hidden",
            "MODEL.CO_DIM": "model.controller.inputs",
            "MODEL.CI_LAG": "model.controller.lag_bins",
        }.items()
        if name in given
    }
    lag = {key: sizes.pop(key) for key in list(sizes) if key.upper() == "MODEL.CI_LAG"}
    controller(reading, sizes)
    for key, ours in lag.items():
        if reading.settings.get("model", {}).get("controller", {}) is None:
            reading.leave(key, "there is no controller")
        else:
            size(ours)(reading, key, (), reading.given[key])
    if "MODEL.IC_ENC_SEQ_LEN" in given:
        segment(reading, *given["MODEL.IC_ENC_SEQ_LEN"])
    masks(reading, given.get("MODEL.CD_RATE"), given.get("MODEL.CD_PASS_RATE"), given.get("MODEL.SV_RATE"))
    reading.as_before()


def leaves(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no mapping, with the way to it."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, data


def segment(reading: Reading, key: str, value: Any) -> None:
    """Bins of the segment for the initial condition; 0 means all."""
    if value == 0:
        reading.leave(key, "0: all bins, the default here")
    else:
        size("model.encoder.ic_bins")(reading, key, (), value)


Given = tuple[str, Any] | None


def masks(reading: Reading, dropout: Given, passed: Given, validation: Given) -> None:
    """Coordinated dropout and sample validation as a list of augmentations; given as key and value."""
    if dropout is None and passed is None and validation is None:
        return
    for given in (dropout, passed, validation):
        if given and not isinstance(given[1], float):
            reading.fault(given[0], (), f"must be a number, got {shown(given[1])}")
            return
    items: list[dict[str, Any]] = []
    keys = [given[0] for given in (dropout, passed, validation) if given]
    if dropout is None or dropout[1] > 0:
        rate = {"rate": dropout[1]} if dropout else {}
        items.append({"name": "coordinated-dropout", **rate, **({"pass_rate": passed[1]} if passed else {})})
    if validation and validation[1] > 0:
        items.append({"name": "sample-validation", "rate": validation[1]})
    for key in keys:
        reading.put(key, "components.train_augmentations", items)


def known(data: Mapping[str, Any]) -> int:
    """How many keys are this format's own; none without one of its two sections."""
    return sum(".".join(map(str, way)).upper() in TABLE for way, _ in leaves(data)) if {"MODEL", "TRAIN"} & set(data) else 0
