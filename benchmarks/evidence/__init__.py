"""What a benchmark leaves behind: records, their comparison, their history."""
