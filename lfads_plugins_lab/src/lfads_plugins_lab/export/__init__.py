"""A run's outputs and parameters in other forms: one HDF5 file in the order of the recording, MATLAB files, parameters by name."""
