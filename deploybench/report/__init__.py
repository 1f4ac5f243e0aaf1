"""What people look at: every printer reads the rows, every row comes from one record."""
