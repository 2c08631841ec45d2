"""Write one line for every call."""
