"""Built and damaged inputs for every verb, by seed: none may end in a traceback, a crash, a hang or more memory than is allowed."""
