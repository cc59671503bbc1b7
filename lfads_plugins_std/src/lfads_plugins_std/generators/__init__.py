"""Generators other than core's GRU."""
