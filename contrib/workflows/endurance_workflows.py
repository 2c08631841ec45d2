"""Many definitions by chance, over each executor, with processes that end at any write: see `randomly.py`. And one node
that is killed amid 200 instances, which another one finishes.

Its name keeps this file out of the ordinary run: it takes minutes.
"""

import sys

from .test_killed import shop as _shop
from .test_killed import taken_over
from .test_random import check

shop = _shop


def test_the_same_comes_of_many_definitions(executing):
    check(executing, 400)


def test_one_node_of_two_is_killed_amid_200_instances(tmp_path, sharing, shop):
    took = taken_over(tmp_path, sharing, shop, 200, 5, 120)
    sys.stdout.write(f"{sharing.name}: 200 instances were over {took:.1f} s after the kill, with a lease of 5 s\n")
