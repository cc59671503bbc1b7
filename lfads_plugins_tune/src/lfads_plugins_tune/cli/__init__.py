"""Commands of this package: each only translates."""
