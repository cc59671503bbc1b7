"""LFADS as a framework: the model, the hooks that plugins use, training, inference and the ``lfads`` command.

Importing this package loads no torch.
"""

from __future__ import annotations

__version__ = "0.1.0"
