"""``lfads eval``: how good a run is."""

from __future__ import annotations

from pathlib import Path

import click

from lfads_core.cli.options import PATH, inferred_option


@click.command("eval")
@click.argument("run", type=PATH)
@click.option("--session", "sessions", multiple=True, metavar="NAME", help="Only this session; may be repeated  [default: all]")
@click.option("--few-shot", "shots", type=click.IntRange(min=1), metavar="K", help="Read held-out channels anew from K training trials.")
@inferred_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def command(run: Path, sessions: tuple[str, ...], shots: int | None, checkpoint: str | None, *, as_json: bool) -> None:
    """Score a RUN beside baselines on the same trials, and look for copying of the input.

    Works on what was inferred, the recordings need not be there. Everything is written to evaluation.json in the run's folder too, and to
    its MLflow run if it has one. RUN may be the folder of a search; its best model is meant then.

    \b
      lfads eval runs/data
      lfads eval runs/data --few-shot 20 --json
    """
    import json
    import logging

    from lfads_core.front.logs import send_logs_to
    from lfads_core.infer.made_with import load_inferred
    from lfads_core.runs import run_or_best
    from lfads_plugins_lab.cli.eval_table import print_report
    from lfads_plugins_lab.evaluate.run import FILE, evaluate_and_keep

    def say(text: str) -> None:
        click.echo(text, err=True)

    send_logs_to(say, logging.WARNING)
    loaded = load_inferred(run_or_best(run), checkpoint)
    found = evaluate_and_keep(loaded, sessions, shots=shots, say=(lambda _: None) if as_json else say)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=2))
        return
    print_report(found)
    if not sessions:
        click.echo(f"written to {loaded.run.path / FILE}")
