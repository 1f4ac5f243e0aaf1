"""The files of a bundle that are the same in all of them: copied as they are, on numpy and Pillow
alone."""
