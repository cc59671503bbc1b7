"""Inference bin by bin, as data come in, with a causal model."""
