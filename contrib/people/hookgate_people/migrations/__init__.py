"""How the tables of people came to be what they are, for Alembic."""
