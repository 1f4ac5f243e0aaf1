"""What is one line of a table? Flat, the unit in every name; every printer reads these."""
