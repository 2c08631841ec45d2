"""What is there when a document goes live is no business of the collector; what has become garbage there is found."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc, sys, weakref
from hookgate.commands.collecting import Apart

class Thing:
    pass

def cycle(number):
    made = Thing()
    made.me, made.more = made, [[each] for each in range(number)]
    return weakref.ref(made)

def follow(apart):
    asyncio.run(apart.follow(None))

apart = Apart()
things = [Thing() for _ in range(1000)]
follow(apart)
assert gc.get_freeze_count() > 1000
assert gc.get_count()[2] == 0 and not gc.get_objects(2), "nothing is left to look at"

few = cycle(10)
follow(apart)
assert few() is not None, "it is not worth a look"

many = cycle(3 * sys.getallocatedblocks())
follow(apart)
assert (few(), many()) == (None, None), "it is, now"
assert gc.get_freeze_count() > 1000
"""


def test_it_looks_only_when_there_is_much():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
