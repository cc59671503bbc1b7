"""Hyperparameter search: what to try next, and who carries it out."""
