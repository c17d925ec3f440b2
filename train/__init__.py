"""Workstation: images -> float model -> pruned -> quantisation-aware checkpoint."""
