"""The page that people look at: what is on it, and how it is printed as HTML and as pictures."""
