"""Bundles: recordings and settings in, one zip with everything about the best model out."""
