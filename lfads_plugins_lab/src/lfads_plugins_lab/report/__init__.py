"""One HTML page on a run that needs nothing else: no network, no library, no folder beside it."""
