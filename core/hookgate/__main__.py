"""``python -m hookgate``."""

from hookgate.commands import main

if __name__ == "__main__":
    main()
