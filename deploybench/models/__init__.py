"""The models: where a name comes from, its weights, and the reference inputs.

Imported in the export child.
"""
