"""From a model and a set of images to a trained checkpoint: recipes, the loop, its log."""
