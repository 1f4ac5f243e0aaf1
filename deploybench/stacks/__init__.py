"""Backends that cannot be installed together: an interpreter for each stack of them."""
