"""LFADS for calcium imaging: zero-inflated gamma and selective backpropagation through time."""
