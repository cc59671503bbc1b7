"""A section of a run's page, and a figure."""

import base64

import numpy as np

from lfads_core.components.page import ChartBlock, Curve, PictureBlock, TableBlock, TextBlock

DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def section(loaded):
    """One block of each kind."""
    factors = loaded.outputs()["valid_factors"]
    yield TextBlock(text=f"{factors.shape[-1]} factors turn & turn.")
    yield TableBlock(head=["plane", "share"], rows=[["first", "0.7"]], label="Shares of planes")
    bins = np.arange(factors.shape[1], dtype=float)
    yield ChartBlock(title="First factor", x="bin", y="value", curves=[Curve(x=bins, y=factors[0, :, 0].astype(float))])
    yield PictureBlock(image=DOT, caption="A plane")


def figure(run, folder):
    """A picture beside the others."""
    path = folder / "rotations.png"
    path.write_bytes(DOT)
    return [path]
