"""A run's first batch as a trial of every component, and the search for the one that a NaN comes from."""
