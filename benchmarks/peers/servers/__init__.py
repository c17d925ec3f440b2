"""The peers' servers: each what its users would write, and no more. Their lines are counted."""
