"""The project's own modules: what the seeds name and timm does not have.

Imported in the export child.
"""
