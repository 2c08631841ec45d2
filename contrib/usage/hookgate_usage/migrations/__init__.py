"""How the tables of usage came to be what they are, for Alembic."""
