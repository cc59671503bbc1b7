"""Results as JSON and as a Markdown table, with the machine and the command that gave them."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfads_core.files import write_text
from lfads_core.recurrence.choose import choose_recurrence
from lfads_plugins_lab.bench.machine import machine
from lfads_plugins_lab.bench.result import Options, Result


def envelope(what: str, results: Sequence[Result], options: Options) -> dict[str, Any]:
    """Everything that is worth keeping about a measurement, as plain data."""
    return {
        "bench": what,
        "date": dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d"),
        "command": shlex.join(["lfads", *sys.argv[1:]]),
        "auto": choose_recurrence("auto", results[0].device).name,
        "machine": machine(results[0].device),
        "threads": options.threads,
        "rounds": options.rounds,
        "results": [result.to_json() for result in results],
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The command, the machine, and a table with a row for each configuration and path."""
    results = found["results"]
    alone = [key for key in results[0] if key not in {"config", "paths"}]
    columns = list(dict.fromkeys(key for result in results for row in result["paths"].values() for key in row))
    head = ["config", "path", *columns, *alone]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for result in results:
        for name, row in result["paths"].items():
            values = [row.get(key) for key in columns] + [result[key] for key in alone]
            lines.append(" | ".join([result["config"], name, *("" if v is None else f"{v:g}" for v in values)]))
    where = found["machine"]
    about = f"{where['gpu'] or where['cpu']}, torch {where['torch']}, {found['threads']} thread(s), {found['rounds']} rounds, {found['date']}"
    return "\n".join([f"    {found['command']}", "", about, "", *(f"| {line} |" for line in lines)])


def save_results(folder: Path, found: Mapping[str, Any]) -> list[Path]:
    """Write ``<date>-<device>-<what>.json`` and ``.md``; measurements of the same day and machine are replaced."""
    where = found["machine"]
    device = re.sub(r"\W+", "-", str(where["gpu"] or where["cpu"])).strip("-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{found['date']}-{device}-{found['bench']}"
    written = [folder / f"{stem}.json", folder / f"{stem}.md"]
    write_text(written[0], json.dumps(found, indent=1) + "\n")
    write_text(written[1], markdown(found) + "\n")
    return written
