"""What was fitted, the numbers one asks for first, and the verdict on copying."""

from __future__ import annotations

from html import escape
from pathlib import Path

from lfads_plugins_lab.evaluate.baselines import NAMES
from lfads_plugins_lab.evaluate.overfit import kept_text
from lfads_plugins_lab.evaluate.run import MODEL
from lfads_plugins_lab.report.blocks import para
from lfads_plugins_lab.report.ending import told
from lfads_plugins_lab.report.facts import ReportFacts
from lfads_plugins_lab.report.words import shown_split, spoken_split
from lfads_plugins_std.metrics.titles import sentence, title

_TOLD = NAMES[0]
"""The baseline that is told each trial's condition, as no other and no model is: it is none that a model is held to."""

_FIRST = ("co_bps", "co_r2", "bps", "r2", "psth_r2", "velocity_r2", "r2_truth")


def summary(facts: ReportFacts) -> str:
    """Header of the page."""
    config, lines = facts.loaded.config, []
    for session in facts.sessions:
        splits = session.session.splits
        first = next(iter(splits.values()))
        trials = ", ".join(f"{session.session.trials(name)} {spoken_split(name)}" for name in session.splits)
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
    data = ", ".join(Path(str(path)).name for path in facts.state.get("data", ()))
    course = " ".join([*told(facts), f"Data: {data}."])
    return f"{para(fitted, 'lead')}<ul>{items}</ul>{para(course)}{_cards(facts)}{_verdicts(facts)}"


def _cards(facts: ReportFacts) -> str:
    """The scores one asks for first, each beside the best of the same baselines."""
    cards, left_out = [], False
    for session in facts.sessions[:4]:
        split = shown_split(session)
        scores = facts.found(session).get("scores", {}).get(split, {})
        ours = scores.get(MODEL, {})
        left_out |= _TOLD in scores
        for name in [name for name in _FIRST if ours.get(name) is not None][: 5 if len(facts.sessions) == 1 else 2]:
            others = [(value, who) for who, of in scores.items() if who not in (MODEL, _TOLD) and (value := of.get(name)) is not None]
            best = f"{max(others)[0]:.3f} ({max(others)[1]})" if others else "none"
            whose = f"{session.name}, " if len(facts.sessions) > 1 else ""
            cards.append(
                f'<div class="card"><b>{ours[name]:.3f}</b><span>{escape(title(name))}</span><span>best baseline {escape(best)}</span>'
                f"<span>{escape(whose)}{spoken_split(split)} trials</span></div>"
            )
    if not cards:
        return para("No score: the data lack what every installed metric needs.", "none")
    why = f"The {_TOLD} is told each trial's condition, so it is not among these baselines; the tables below have it." if left_out else ""
    return f'<div class="cards">{"".join(cards)}</div>{para(why, "soft") if why else ""}'


def _verdicts(facts: ReportFacts) -> str:
    said = facts.state.get("findings")  # of the training itself, in run.json
    found = [f'<div class="verdict bad">{"".join(para(sentence(text)) for text in said.values())}</div>'] if said else []
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
