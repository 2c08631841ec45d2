"""``python -m hookgate``: the command, where it is installed."""

import sys
from importlib import import_module

if __name__ == "__main__":
    try:
        commands = import_module("hookgate.commands")
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: pip install hookgate-commands")
    commands.main()
