"""Another way to find rotations."""
