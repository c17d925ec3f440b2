"""Quality against latency over widths, prune ratios and precisions."""
