"""The `lfads` command line: parse, call one function, print."""
