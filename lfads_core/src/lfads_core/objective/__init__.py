"""The loss as pure functions: reconstruction, KL, L2, their ramps and their sum."""
