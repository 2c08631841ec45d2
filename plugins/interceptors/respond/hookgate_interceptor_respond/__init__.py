"""Answer with a fixed response instead of calling a backend."""
