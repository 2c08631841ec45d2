"""The executor ``procrastinate``: nodes share what is ready over a queue in PostgreSQL."""
