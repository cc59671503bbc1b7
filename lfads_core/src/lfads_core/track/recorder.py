"""One run in MLflow's store; the only module that imports MLflow."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from itertools import batched if False else islice
from pathlib import Path
from typing import Any
