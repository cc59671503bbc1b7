"""What of this machine and installation lfads can use, and what to do about the rest."""
