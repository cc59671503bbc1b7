"""Ways of choosing what a nat of divergence costs, beside the one that is the default.

    python bench/kl_choices.py FILE[=RECIPE] ... --keep kept.jsonl --minutes 1

A quarter of the channels is held out. With T bins and N channels a scale of 1 / (T N) makes the loss an evidence lower bound (ELBO); the default
takes 0.03 of it for initial conditions and 0.01 for inferred inputs. Beside it: the ELBO itself, a tenth of it, the fixed 2e-5 of before; nats that
are free (Kingma et al. 2016) and a target that is held by a multiplier (Rezende & Viola 2018), both ``--nats`` for each dimension of the initial
conditions, and as many for each input in ten bins; four members that share the time of one, with other scales each, the best by held-out channels.
"""

from __future__ import annotations

from pathlib import Path

import h5py
from commands import behaviour, held_out, kept, of_recipe, once, options, settings, table

CHOICES = ("auto", "ELBO", "a tenth of the ELBO", "2e-5", "free nats", "held nats", "four members")
DIMENSIONS, INPUTS = 64, 4
"""Of initial conditions and inferred inputs, as they are by default."""


def arguments(choice: str, file: str, nats: float) -> list[str]:
    """What makes a choice, behind ``lfads run FILE`` or ``lfads search``."""
    with h5py.File(file) as opened:
        key = next(key for key in ("train_recon_data", "train_encod_data") if key in opened)
        _, bins, channels = opened[key].shape
    elbo = 1 / (bins * channels)

    def scales(ic: float, inputs: float) -> list[str]:
        return ["--set", f"regularisation.kl_ic={ic:.3g}", "--set", f"regularisation.kl_inputs={inputs:.3g}"]

    def priors(kind: str) -> list[str]:
        own = {"ic_prior": ("normal", nats * DIMENSIONS), "input_prior": ("autoregressive", nats * INPUTS * bins / 10)}
        chosen = [f"components.{place}={{name: {kind}-{name}, nats: {of:g}}}" for place, (name, of) in own.items()]
        return ["--plugin-file", str(Path(__file__).with_name("kl_priors.py")), *(part for one in chosen for part in ("--set", one))]

    space = f"log:{0.001 * elbo:.3g}:{elbo:.3g}"
    return {
        "auto": [],
        "ELBO": scales(elbo, elbo),
        "a tenth of the ELBO": scales(elbo / 10, elbo / 10),
        "2e-5": scales(2e-5, 2e-5),
        "free nats": [*scales(elbo, elbo), *priors("free")],
        "held nats": priors("held"),
        "four members": [
            *("--members", "4", "--workers", "1", "--set", "search.suggested=false"),
            *(part for name in ("kl_ic", "kl_inputs") for part in ("--space", f"regularisation.{name}={space}")),
        ],
    }[choice]


def main() -> None:
    """Train what is not kept yet, then print the table."""
    parser = options(__doc__)
    parser.add_argument("--choices", nargs="+", default=CHOICES, choices=CHOICES)
    parser.add_argument("--nats", type=float, default=0.25)
    parser.add_argument("--minutes", type=float, default=1.0)
    given = parser.parse_args()
    for seed in given.seeds:
        for recording in given.recordings:
            file, plugins = of_recipe(recording)
            for choice in given.choices:
                searched = choice == "four members"
                command = ["search", "random", file, "--seed", str(seed)] if searched else ["run", file]
                own = settings(f"train.seed={seed}", *given.more)
                chosen = [*plugins, *arguments(choice, file, given.nats)]
                chosen += ["--hold-out", "0.25", "--minutes", f"{given.minutes:g}"]
                key = {"recording": Path(file).stem, "scales": choice, "seed": seed, "minutes": given.minutes, "set": given.more}
                once(given.keep, key, [*command, *chosen, *own], "run/best" if searched else "run")
    print("\n".join(table(kept(given.keep), "scales", CHOICES, {"held-out channels": held_out, "behaviour R2": behaviour})))


if __name__ == "__main__":
    main()
