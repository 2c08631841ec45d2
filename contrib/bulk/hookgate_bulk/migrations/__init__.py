"""How the tables of bulks came to be what they are, for Alembic."""
