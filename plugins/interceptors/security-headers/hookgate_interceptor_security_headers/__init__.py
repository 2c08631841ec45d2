"""Set the headers that make browsers careful."""
