"""The clients, ours and the peers': each what a user would write, and no more. Lines are counted.

Each module has ``connect(address)``, a context manager that yields a client with
``ask(words) -> pixels`` over one connection that stays open, (R, C) uint16 both.
"""
