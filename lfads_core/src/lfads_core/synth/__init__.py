"""Synthetic data: files whose true rates are known. The generators themselves come from plugins."""
