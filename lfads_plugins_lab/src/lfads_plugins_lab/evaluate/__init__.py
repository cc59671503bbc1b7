"""How good a run is: every metric on every split, beside baselines on the same trials, and what would give copying away."""
