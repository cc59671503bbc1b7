"""Our own AdamW trajectories: 4 batches per epoch, 3 epochs, ramps that start below 1, some steps clipped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from oracle.arrays import Array
from oracle.case import Case
from oracle.draws import build, draw_noise, draw_session, generator
from oracle.files import write
from oracle.recipes import Recipe
from oracle.training import train
from oracle.weights import BASE, TRIALS, frozen

BATCHES, EPOCHS, GRAD_CLIP = 4, 3, 200.0
CONFIG: dict[str, Any] = {
    "l2_start_epoch": 0,
    "l2_increase_epoch": 2,
    "kl_increase_epoch": 3,
    "l2_ic_enc_scale": 0.0,
    "l2_ci_enc_scale": 0.0,
    "l2_gen_scale": 0.5,
    "l2_con_scale": 0.5,
    "kl_ic_scale": 1e-3,
    "kl_co_scale": 1e-3,
    "lr_init": 4e-3,
    "weight_decay": 0.03,
}
FILES = (
    (Recipe(name="o_adamw20_means", note="posterior means; half of the steps or so are clipped", config={**CONFIG, "loss_scale": 400.0}), 0.0),
    (Recipe(name="o2_adamw20_sampled_cd", note="samples and coordinated dropout", config={**CONFIG, "loss_scale": 1e4}, sampled=True), 0.3),
)


def one_step(base: Case, batch: int, noise: dict[str, Array], mask: Array | None) -> Case:
    """The case of one step."""
    masks = {} if mask is None else {"cd_mask": mask, "pass_mask": np.zeros_like(mask)}
    return replace(base, sessions=(base.sessions[batch],), noise=noise, masks=masks)


def trajectory_file(recipe: Recipe, cd_rate: float, folder: Path, seed: int) -> Path:
    """Write one trajectory."""
    rng = generator(seed, recipe.name + " batches")
    config = {k: v for k, v in {**BASE, **recipe.config}.items() if k != "current_epoch"}
    channels = (config["encod_data_dim"], config["recon_dim"])
    batches = tuple(draw_session(rng, recipe, config, TRIALS, channels) for _ in range(BATCHES))
    base = replace(build(recipe, seed), config=config, sessions=batches, cd_rate=cd_rate)
    steps = BATCHES * EPOCHS
    noises = [draw_noise(rng, config, TRIALS, sampled=recipe.sampled) for _ in range(steps)]
    masks = [(rng.random(batches[0].encod_data.shape) >= cd_rate).astype(float) if cd_rate else None for _ in range(steps)]
    names = [name for name in base.weights if name not in frozen(base.weights)]
    cases = [one_step(base, i % BATCHES, noises[i], masks[i]) for i in range(steps)]
    result = train(cases, names, epochs=EPOCHS, lr=config["lr_init"], weight_decay=config["weight_decay"], grad_clip=GRAD_CLIP)

    data: dict[str, Array] = {f"weights/{k}": v for k, v in base.weights.items()}
    for i, b in enumerate(batches):
        data |= {f"batches/{i}/{name}": getattr(b, name) for name in ("encod_data", "recon_data", "ext_input")}
    data |= {f"noise/{name}": np.stack([n[name] for n in noises]) for name in noises[0]}
    if cd_rate:
        data["cd_masks"] = np.stack([m for m in masks if m is not None])
    data |= {f"steps/{k}": v for k, v in result.steps.items()}
    data |= {f"final_weights/{k}": v for k, v in result.final_weights.items()}
    attributes = {
        "case": recipe.name,
        "config": config,
        "dtype": "float64",
        "seed": seed,
        "sample_posteriors": int(recipe.sampled),
        "cd_rate": cd_rate,
        "grad_clip": GRAD_CLIP,
        "clipped_steps": int((result.steps["grad_norm"] > GRAD_CLIP).sum()),
        "note": f"{BATCHES} batches per epoch, {EPOCHS} epochs; {recipe.note}; grad_norm before clipping",
    }
    return write(folder / f"{recipe.name}.h5", data, attributes)


def make_training(folder: Path, seed: int) -> list[Path]:
    """Write both trajectories into ``folder``."""
    return [trajectory_file(recipe, cd_rate, folder, seed) for recipe, cd_rate in FILES]
