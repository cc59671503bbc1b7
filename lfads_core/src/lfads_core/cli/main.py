"""The ``lfads`` command: a table of commands, each in a module of its own beside this one."""

from __future__ import annotations

import os

import click

from lfads_core import __version__
from lfads_core.cli.lazy import LazyGroup

COMMANDS = {
    "demo": "Make data, train, infer and plot: the whole journey in one go.",
    "synth": "Make data whose true rates are known.",
    "data": "Make recordings into files for training, look into them, change them.",
    "config": "Show, explain, check and import settings.",
    "compile": "Make training on a CPU faster: compile the recurrent loops, once.",
    "run": "Train a model on recordings, then infer their rates.",
    "search": "Search hyperparameters: at random, on a grid, by population-based training.",
    "adapt": "Add sessions to a trained model that stays as it is.",
    "infer": "Infer rates with a trained model, for its own data or a new file.",
    "eval": "Score a run beside baselines on the same trials.",
    "compare": "Runs side by side: settings that differ, scores, epochs, time.",
    "report": "One HTML page on a run, to show and to send.",
    "bound": "Bound the log likelihood of each trial.",
    "stream": "Infer rates bin by bin with a causal model, and time it.",
    "generate": "Sample new trials from a trained model's prior.",
    "export": "Write outputs and parameters in other forms: one HDF5 file, MATLAB, weights by name.",
    "collection": "Many runs over recordings and settings: prepare, queue, watch, compare.",
    "bench": "Measure how fast training and inference are on this machine.",
    "bundle": "Recordings and settings in, one zip with everything about the best model out.",
    "ui": "Open the runs in MLflow's browser pages.",
    "cite": "Print BibTeX for LFADS and the components that are used.",
    "doctor": "Look at this machine and installation: what is there, and what to do about the rest.",
    "plugins": "List what is installed, show what one name means, make and check plugins.",
}
"""Command -> one line of help, in the order of work; the module of the same name holds it as ``command``."""


@click.group(
    cls=LazyGroup,
    package="lfads_core.cli",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'lfads COMMAND --help' says more about one command.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere on the line.")
@click.version_option(__version__, prog_name="lfads")
def cli(*, debug: bool) -> None:
    """Infer latent dynamics and firing rates from population recordings (LFADS)."""
    # torch's threads, once it is loaded, shall sleep between operations: while they spin, they hold the cores that the loops need
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Run the command line."""
    cli(prog_name="lfads")


if __name__ == "__main__":
    main()
