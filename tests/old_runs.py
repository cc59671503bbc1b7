"""The runs and searches of ``data/old_runs.tar.xz``, which an older version made; see ``data/README.md``."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path


def unpack(folder: Path) -> Path:
    """Put them into a folder, which their files then know of."""
    with tarfile.open(Path(__file__).parent / "data/old_runs.tar.xz") as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # Python 3.11.4 has it
    was = json.loads((folder / "made_on.json").read_text())["data"]
    for path in [*folder.rglob("run.json"), *folder.rglob("search.json")]:
        path.write_text(path.read_text().replace(json.dumps(was), json.dumps(str(folder / "lorenz.h5"))))
    return folder
