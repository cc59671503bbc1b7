"""Small faults, one at a time, in a copy of the tree: the tests that a row of docs/features.toml names must find those of the row."""
