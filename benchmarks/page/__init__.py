"""Everything that was measured last, as one page and as README's table."""
