"""What a test asks of a cell: the pytest plug-in. ``docs/gating-in-ci.md`` shows how to use it."""
