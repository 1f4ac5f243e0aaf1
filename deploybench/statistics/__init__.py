"""What do numbers say? Numbers in, numbers out; knows no record."""
