"""What training costs, and what its choices are worth: tables for a run's own network and data."""
