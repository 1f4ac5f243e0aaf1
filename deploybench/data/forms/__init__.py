"""The forms in which sets of images lie on disk; one module a form."""
