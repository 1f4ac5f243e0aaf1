"""Sets of images that this program makes or unpacks, so that nothing has to be downloaded."""
