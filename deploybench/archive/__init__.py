"""Many results: what folders, packs and object stores hold, read in bulk and never measured."""
