"""What was heard, a line each, in the file that LAB_JPCA_DIARY names."""

import json
import os
from pathlib import Path


def write(*words):
    """Add a line."""
    if path := os.environ.get("LAB_JPCA_DIARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(words) + "\n")
