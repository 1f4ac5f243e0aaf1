"""The clock and nothing else: rounds of launches in the parent, one cell a fresh process in the
worker."""
