"""How the tables of statistics came to be what they are, for Alembic."""
