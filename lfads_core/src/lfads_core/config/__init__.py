"""Settings of a run: their declaration, strict reading, merging and explanation."""
