"""Encoders other than core's GRU."""
