"""What models look at: attention maps, Grad-CAM, and numbers that compare them."""
