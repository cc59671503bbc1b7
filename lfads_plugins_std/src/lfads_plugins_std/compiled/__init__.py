"""The loops in C, compiled on request by the machine that runs them: ``build`` and ``library`` bring them, ``gru`` and ``controlled`` call them."""
