"""Write requests and responses to the log, bodies included, secrets masked."""
