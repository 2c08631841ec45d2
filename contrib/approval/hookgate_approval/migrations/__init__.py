"""How the tables of schedules came to be what they are, for Alembic."""
