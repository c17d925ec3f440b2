"""What the daemon adds to an engine, and what it costs to have: measured against bars."""
