"""Collections: named sets of runs over recordings and settings, prepared, queued, watched and compared as one."""
