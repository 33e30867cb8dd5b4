"""What is printed of a fit: whole, in a line, of each form."""
