"""A page on this machine: drop an image, and see what artifacts make of it, side by side."""
