"""One stage of a session on a GPU; ``bench/gpu_session.sh`` goes through them.

    python bench/gpu/session.py steps --out results --limit 100

Each stage writes a small JSON file; ``table`` puts every number beside what was expected of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

STAGES = ("info", "right", "agree", "tiles", "kernels", "steps", "population", "inference", "quality", "trace", "whole")


def table(out: Path) -> str:
    """All results as Markdown; what is wrong comes first."""
    from predictions import of_kernel, predicted

    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))}
    checked = {key: row for stage, rows in found.items() if stage.startswith("right-") for key, row in rows.items()}
    wrong = {key: row for key, row in checked.items() if not row.get("right")}
    lines = ["# Session on a GPU", "", *(f"- {key}: {row}" for key, row in found.get("info", {}).items()), "", "## Right?", ""]
    lines += [f"{len(checked) - len(wrong)} of {len(checked)} loops are right, finite, and the same to the bit when run again.", ""]
    lines += [f"- wrong: {key}: {row}" for key, row in wrong.items()]
    lines += [f"- a pass of {name}: {row}" for name, row in found.get("agree", {}).items()]
    lines += [f"- tests: {found.get('tests', {})}", "", "## Kernels alone", "", "| kernel | measured | predicted |", "|---|---|---|"]
    alone = [(key, loop, row) for key, rows in found.get("kernels", {}).items() for loop, row in rows.items()]
    lines += [f"| {key} {loop} | {short(row)} | {of_kernel(key, loop)} |" for key, loop, row in alone]
    for stage in ("tiles", "steps", "population", "inference", "quality", "trace", "whole"):
        lines += ["", f"## {stage.capitalize()}", "", "| what | measured | predicted |", "|---|---|---|"]
        lines += [f"| {key} | {short(row)} | {predicted(stage, key)} |" for key, row in found.get(stage, {}).items()]
    return "\n".join(lines) + "\n"


def short(row: Any) -> str:
    """A row in one cell."""
    return ", ".join(f"{name} {value}" for name, value in row.items() if not isinstance(value, list)) if isinstance(row, dict) else str(row)


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "table"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds after which nothing more is begun")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("NUMBER", "OF"), help="of the loops to check")
    parser.add_argument("--dry", action="store_true", help="go every way on a CPU with tiny sizes")
    given = parser.parse_args()
    if given.stage == "table":
        text = table(given.out)
        (given.out / "table.md").write_text(text, encoding="utf-8")
        print(text)
        return
    os.environ["TRITON_INTERPRET"] = "1" if given.dry else "0"
    import right
    import tiles
    import times
    import torch
    import whole
    from asked import Asked, make_tiny

    torch.set_num_threads(1 if given.dry or given.stage == "right" else 4)
    if given.dry:
        from lfads_core.recurrence import choose

        choose.obstacle = lambda *_, **__: None  # kernels are for GPUs: here they are interpreted
        make_tiny()
    asked = Asked(out=given.out, dry=given.dry, limit=given.limit, part=tuple(given.part))
    next(getattr(module, given.stage) for module in (right, tiles, times, whole) if hasattr(module, given.stage))(asked)
    if asked.faults:
        sys.exit(f"{given.stage}: {', '.join(asked.faults)}: see above")


if __name__ == "__main__":
    main()
