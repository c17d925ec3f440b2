"""Frames per second against the number of clients, frame size and cores, and where it ends."""
