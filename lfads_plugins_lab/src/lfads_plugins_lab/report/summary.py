"""What was fitted, the numbers one asks for first, and the verdict on copying."""

from __future__ import annotations

from html import escape
from pathlib import Path

from lfads_core.train.progress import clock
from lfads_plugins_lab.evaluate.baselines import NAMES
from lfads_plugins_lab.evaluate.lacking import title
from lfads_plugins_lab.evaluate.overfit import kept_text
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.blocks import para
from lfads_plugins_lab.report.facts import ReportFacts
from lfads_plugins_lab.report.words import shown_split

_CIRCULAR = (NAMES[0], "psth_r2")
"""A baseline that is all but the same as what its score compares with."""

_FIRST = ("co_bps", "co_r2", "bps", "r2", "psth_r2", "velocity_r2", "r2_truth")


def summary(facts: ReportFacts) -> str:
    """Header of the page."""
    config, lines = facts.loaded.config, []
    for session in facts.sessions:
        splits = session.session.splits
        first = next(iter(splits.values()))
        trials = ", ".join(f"{session.session.trials(name)} {name}" for name in session.splits)
        bins, channels = first.recon.shape[1:]
        width = "" if session.session.bin_ms is None else f" of {session.session.bin_ms:g} ms"
        held = channels - first.encod.shape[2] if first.nested else 0
        unseen = f", {held} of them held out from the model's input" if held else ""
        lines.append(f"{session.name}: {trials} trials, {bins} bins{width}, {channels} channels{unseen}")
    controller = "no inferred inputs" if config.model.controller is None else f"{config.model.controller.inputs} inferred inputs"
    model = config.model.generator
    fitted = (
        f"A latent dynamical model (LFADS) with {model.hidden} generator units, {model.factors} factors and {controller} was fitted to "
        f"{'this recording' if len(lines) == 1 else f'these {len(lines)} recordings'} with the reconstruction "
        f"{config.components.reconstruction.name!r}."
    )
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"{para(fitted, 'lead')}<ul>{items}</ul>{para(_training(facts))}{_cards(facts)}{_verdicts(facts)}"


def _training(facts: ReportFacts) -> str:
    log, state = facts.log, facts.state
    epochs = len(log["epoch"]) if log else int(state.get("epochs") or 0)
    seconds = float(log["seconds"][-1]) if log and "seconds" in log and len(log["seconds"]) else None
    took = "" if seconds is None else f" in {clock(seconds)} (h:mm:ss or m:ss)"
    data = ", ".join(Path(str(path)).name for path in state.get("data", ()))
    return (
        f"Training {state.get('status', 'ended')} after {epochs} epochs{took}; shown are the weights of the "
        f"{facts.loaded.checkpoint} checkpoint. Data: {data}."
    )


def _cards(facts: ReportFacts) -> str:
    cards = []
    for session in facts.sessions[:4]:
        split = shown_split(session)
        scores = facts.found(session).get("scores", {}).get(split, {})
        ours = scores.get(MODEL, {})
        for name in [name for name in _FIRST if ours.get(name) is not None][: 5 if len(facts.sessions) == 1 else 2]:
            others = {who: of for who, of in scores.items() if who != MODEL and (who, name) != _CIRCULAR}
            best = max(((value, who) for who, of in others.items() if (value := of.get(name)) is not None), default=None)
            beside = "" if best is None else f"<span>best baseline {best[0]:.3f} ({escape(best[1])})</span>"
            whose = f"{session.name}, " if len(facts.sessions) > 1 else ""
            cards.append(
                f'<div class="card"><b>{ours[name]:.3f}</b><span>{escape(title(name))}</span>{beside}<span>{escape(whose)}{split} trials</span></div>'
            )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else para("No score: the data lack what every installed metric needs.", "none")


def _verdicts(facts: ReportFacts) -> str:
    said = facts.state.get("findings")  # of the training itself, in run.json
    found = [f'<div class="verdict bad">{"".join(para(str(text)) for text in said.values())}</div>'] if isinstance(said, dict) and said else []
    for session in facts.sessions:
        verdict = facts.found(session).get("verdict", {})
        whose = f"{session.name}: " if len(facts.sessions) > 1 else ""
        if warnings := verdict.get("warnings"):
            found.append(f'<div class="verdict bad">{"".join(para(whose + text) for text in warnings)}</div>')
        elif (why := verdict.get("unclear")) is not None:
            found.append(para(f"{whose}Whether the model copies its input cannot be told: {why}.", "none"))
        elif (share := verdict.get("hidden_share")) is not None:
            kept = kept_text(share, verdict.get("hidden_low"), verdict.get("hidden_high"))
            text = f"No sign of copying: on values hidden from it the model keeps {kept} of what it gains over mean rates when it sees them."
            found.append(f'<div class="verdict">{para(whose + text)}</div>')
    return "".join(found)
