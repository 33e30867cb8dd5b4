"""Files that say what a grid trains: a table of cells, a study; and what is kept of them."""
