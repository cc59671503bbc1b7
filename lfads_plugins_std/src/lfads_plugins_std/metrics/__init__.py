"""Numbers that say how good a model is, as pure functions of predictions and data."""
