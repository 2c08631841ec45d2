"""What travels with one call: the exchange, its messages and bodies, and what can go wrong."""
