"""Classical methods, each at its best strength: what a network has to beat."""
