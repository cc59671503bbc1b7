"""Templates of plugin repositories, one folder per kind and one for what all share; ``$name`` and the like are filled in."""
