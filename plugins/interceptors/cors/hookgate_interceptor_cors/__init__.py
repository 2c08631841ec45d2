"""Answer preflights and say which pages of other origins may read the answers."""
