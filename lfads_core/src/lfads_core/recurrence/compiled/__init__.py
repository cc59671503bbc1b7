"""The loops in C, compiled on the machine that runs them, on request: ``library`` finds and loads, ``build`` compiles, ``gru`` and ``controlled`` call."""
