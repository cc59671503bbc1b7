"""LFADS for muscle recordings: gamma reconstruction and temporal shift."""
