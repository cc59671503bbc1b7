"""A tracker: one line of JSON per epoch, in a file named after the run."""

import json
from pathlib import Path


class Lines:
    """Fulfils the contract of a tracker."""

    def __init__(self, path):
        self.path = path

    def log(self, epoch, row):
        """Write one epoch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **row}) + "\n")

    def artifacts(self, paths):
        """Write names of files."""
        self.path.with_suffix(".files").write_text(json.dumps([path.name for path in paths]))

    def close(self, status):
        """Write how it ended."""
        self.path.with_suffix(".status").write_text(status)


def open_lines(run, config, first_epoch):
    """For runs whose settings name a folder."""
    if config.mine.folder is None:
        return None
    folder = Path(config.mine.folder)
    folder.mkdir(exist_ok=True)
    return Lines(folder / f"{run.name}.jsonl")
