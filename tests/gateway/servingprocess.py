"""A gateway as a process of its own, with the plugins of a test."""

import json
import os
import subprocess
import sys


def serving(plugins, described, *arguments, **environment):
    """Start ``hookgate serve`` and wait until it serves; return the process with what it said so far."""
    file = plugins / "gateway.yaml"
    listen = {"listen": ["127.0.0.1:0"]}
    file.write_text(
        json.dumps({**described, "gateway": {**described["gateway"], **listen}, "management": {**listen, "apps": []}})
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", *(arguments or [str(file)])],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOOKGATE_PLUGINS_DIR": str(plugins), **environment},
    )
    said = []
    for line in iter(process.stderr.readline, ""):
        said.append(line)
        if "management on" in line:
            break
    return process, said
