"""A search as tools of others read it: its members as trials of Ray Tune, and the epochs of runs and members in TensorBoard."""
