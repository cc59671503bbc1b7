"""The loops over time. One signature per loop, several backends; ``choose`` picks one and says why."""
