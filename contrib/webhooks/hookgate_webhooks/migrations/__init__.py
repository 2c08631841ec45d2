"""How the table of deliveries came to be what it is, for Alembic."""
