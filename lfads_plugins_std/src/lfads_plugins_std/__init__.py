"""The standard components of LFADS: Poisson and Gaussian data, priors, coordinated dropout, linear layers."""
