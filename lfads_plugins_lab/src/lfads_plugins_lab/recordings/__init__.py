"""From raw recordings of any kind to the HDF5 layout that training reads.

``read_source`` (or ``from_pynapple``) gives a raw recording, ``make`` cuts it, ``write_layout`` writes it; ``make_file`` does all.
"""

from lfads_core.data.write import write_layout
from lfads_plugins_lab.recordings.build import Made, make
from lfads_plugins_lab.recordings.files import SourceOptions, make_file, read_source
from lfads_plugins_lab.recordings.options import HoldOutOptions, MakeOptions, SplitOptions, WindowOptions
from lfads_plugins_lab.recordings.pynapple import from_pynapple
from lfads_plugins_lab.recordings.raw import Cut, Raw, Series, Signal, Trials

__all__ = [
    "Cut",
    "HoldOutOptions",
    "Made",
    "MakeOptions",
    "Raw",
    "Series",
    "Signal",
    "SourceOptions",
    "SplitOptions",
    "Trials",
    "WindowOptions",
    "from_pynapple",
    "make",
    "make_file",
    "read_source",
    "write_layout",
]
