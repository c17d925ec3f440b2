"""Latency, quality, history and reports: the evidence, and how it was measured."""
