"""Markdown page of what plugins are given and declare: fields of batches and their like, settings, spaces, noise; ``docs/given.md`` is this text."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from lfads_core import components, rng
from lfads_core.components.batch import Batch
from lfads_core.components.evaluation import Evaluation
from lfads_core.components.latents import Latents, Posterior
from lfads_core.config import fields, losses, spaces
from lfads_core.data.session import Session, Split

RECORDS = (
    Batch,
    Session,
    Split,
    Evaluation,
    components.SessionInfo,
    components.EncoderInfo,
    components.GeneratorInfo,
    components.LatentInfo,
    components.LossInfo,
    components.LossInputs,
    Latents,
    Posterior,
)
"""What methods of components, and functions of records, get."""

SETTINGS = (fields.setting, fields.above, fields.at_least, fields.between, fields.share, fields.one_of)
SPACES = (spaces.log, spaces.uniform)
NOISE = (rng.stream, rng.bernoulli)
INHERITED = (losses.LossConfig, losses.LatentConfig)

_FIELD = re.compile(r"^    (\w+): (.+?)(?: = .+?)?(?:  # (.+))?$")


def given_page() -> str:
    """The page, ended by a newline."""
    lines = [
        "# What plugins are given",
        "",
        "Fields of what methods of components and functions of records get, and how settings, spaces and random numbers are declared and",
        "drawn; made by `python -m lfads_core.cli.given > docs/given.md`. The letters of shapes are those of `lfads_core.dims`; `*M` is an axis",
        "of members, which a plugin meets only if it says `population = True`. [Hooks](hooks.md) has the fields of records.",
        "",
        "## Records",
    ]
    for cls in RECORDS:
        lines += [
            "",
            f"### {cls.__name__}",
            "",
            f"`{cls.__module__}`. {_sentence(cls)}",
            "",
            "| field | type | what it is |",
            "|---|---|---|",
            *_rows(cls),
        ]
    lines += [
        "",
        "## Settings",
        "",
        "A settings class is a frozen attrs class, each field declared with `setting`: its default, its meaning, and what else is known of it.",
        "A rule is tried whenever settings are read; null and `auto` always pass. From `lfads_core.config.fields`:",
        "",
        *_functions(SETTINGS),
        "",
        "Settings of losses and latents are subclasses of these, of `lfads_core.config.losses`:",
        "",
        *(f"- `{cls.__name__}`: {_sentence(cls)}" for cls in INHERITED),
        "",
        "## Spaces",
        "",
        "`search=` of a setting says where a search may move it; from `lfads_core.config.spaces`. `LIVE` says that it may change while a model",
        "trains, and is searched only when somebody gives a space for it.",
        "",
        *_functions(SPACES),
        "",
        "## Noise",
        "",
        "Whatever is random comes from the `torch.Generator` (or `numpy.random.Generator`, for data) that a method is given. Where none is given,",
        "first weights come from `info.rng`, or from a stream that is named after what it is for; from `lfads_core.rng`:",
        "",
        *_functions(NOISE),
    ]
    return "\n".join(lines) + "\n"


def _sentence(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("``", "`").replace("\n", " ")


def _functions(functions: tuple[Any, ...]) -> Iterator[str]:
    for function in functions:
        arguments = re.sub(r": '([^']*)'", r": \1", str(inspect.signature(function)).rpartition(" -> ")[0])
        yield f"- `{function.__name__}{arguments}`: {_sentence(function)}"


def _rows(cls: type) -> Iterator[str]:
    """A row for each field: the comment beside it, or the sentence below it, says what it is."""
    lines = inspect.getsource(cls).splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(("    def ", "    @")):
            return
        if (found := _FIELD.match(line)) is not None:
            name, kind, comment = found.groups()
            below = after.strip().strip('"') if after.strip().startswith('"""') else ""
            yield f"| `{name}` | `{kind}` | {comment or below} |".replace(" | None`", r" \| None`")


if __name__ == "__main__":  # pragma: no cover - covered as a process of its own
    print(given_page(), end="")  # noqa: T201 - this is what the module prints
