"""The zip that comes out: the best model's run folder, the log of all models, and a page that says what each file is."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lfads_core.errors import RunError
from lfads_core.files import replacing, spoken_failure
from lfads_core.plugins.single_files import FOLDER
from lfads_core.runs import Run
from lfads_plugins_tune.bundle.readme import readme
from lfads_plugins_tune.search.history import JOURNAL

_STORED = {".png", ".pt"}
"""Endings of files that hardly get smaller."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed where."""

    output: Path
    names: Sequence[str]
    scores: Mapping[str, float]


def pack(output: Path, best: Run, search: Path | None, source: str) -> Packed:
    """Write the zip, whole or not at all. ``search`` is the folder of the search that ``best`` comes from, if it does.

    Raises:
        RunError: it cannot be written, or a part is missing.
    """
    files = contents(best, search)
    state = portable(best.read_state())
    texts = {"run.json": json.dumps(state, indent=2) + "\n"}
    names = sorted({*files, *texts, "README.txt"})
    texts["README.txt"] = readme(names, state, search, source)
    with spoken_failure(output), replacing(output) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for name in names:
                if name in texts:
                    archive.writestr(name, texts[name])
                else:
                    method = zipfile.ZIP_STORED if files[name].suffix in _STORED else zipfile.ZIP_DEFLATED
                    archive.write(files[name], name, compress_type=method)
        with zipfile.ZipFile(temporary) as archive:
            if (bad := archive.testzip()) is not None:
                raise OSError(f"{bad} does not read back")
    return Packed(output=output, names=names, scores=_scores(state))


def contents(best: Run, search: Path | None) -> dict[str, Path]:
    """Files of the zip by their names in it; the whole is a run's folder.

    Raises:
        RunError: a part that must be there is not.
    """
    folder = best.path
    found = {
        "config.yaml": best.config_path,
        "fitlog.csv": best.fitlog if search is None else search / "fitlog.csv",
        **{path.name: path for path in sorted(folder.glob("lfads_output_*.h5"))},
        **{f"checkpoints/{path.name}": path for path in _of_checkpoint(best)},
        **{str(PurePosixPath(path.relative_to(folder))): path for part in (best.plots, folder / FOLDER) for path in _visible(part)},
        **{name: folder / name for name in ("report.html", "evaluation.json") if (folder / name).is_file()},
    }
    if search is not None:
        found |= {"search.json": search / JOURNAL, "fitlog_best.csv": best.fitlog}
        found |= {f"plots/search/{path.relative_to(search / 'plots')}": path for path in _visible(search / "plots")}
    missing = [name for name, path in found.items() if not path.is_file()]
    if not any(name.startswith("lfads_output_") for name in found):
        missing.append("lfads_output_*.h5")
    if missing:
        raise RunError(f"{folder}: a finished run must have {', '.join(missing)}, got none. Go on with it, or begin anew.")
    return found


def portable(state: Mapping[str, object]) -> dict[str, object]:
    """``run.json`` without what only this machine can follow: folders, and the key of its MLflow store."""
    kept = {key: value for key, value in state.items() if key not in {"search", "mlflow_key"}}
    if isinstance(data := state.get("data"), list):
        kept["data"] = [Path(str(path)).name for path in data]
    if isinstance(search := state.get("search"), Mapping):
        kept["search"] = {key: value for key, value in search.items() if key != "folder"}
    return kept


def _of_checkpoint(best: Run) -> list[Path]:
    """Manifests and tensors of the checkpoints."""
    return [path for path in _visible(best.checkpoints) if re.fullmatch(r".*\.(json|pt)", path.name)]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and not path.name.startswith("."))


def _scores(state: Mapping[str, object]) -> Mapping[str, float]:
    scores = state.get("scores")
    return scores if isinstance(scores, dict) else {}
