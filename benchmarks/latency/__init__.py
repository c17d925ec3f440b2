"""How long frames take: over a grid, after idle gaps, and in Python calls of the daemon's."""
