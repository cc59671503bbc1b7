"""Rotations in factors, and everything a lab might want beside them."""
