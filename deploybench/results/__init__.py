"""What was measured? The documents, and nothing computed but properties."""
