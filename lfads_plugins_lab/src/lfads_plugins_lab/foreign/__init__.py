"""Settings of other implementations of LFADS, read into ours: one file for each, ``reading.py`` for what they share."""
