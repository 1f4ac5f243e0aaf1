"""Many hosts: the same cells, placed on nodes that carry their profile."""
