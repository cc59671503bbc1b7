"""Searches over hyperparameters, collections of runs, bundles, and the record in MLflow."""
