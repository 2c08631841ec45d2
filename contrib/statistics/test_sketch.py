"""Sketches merge in any order, and their quantiles are as exact as they say."""

import math

from hypothesis import given
from hypothesis import strategies as st

from hookgate_statistics.sketch import ERROR, LONGEST, SHORTEST, bucket, merge, packed, quantile, unpacked

times = st.lists(st.floats(SHORTEST, LONGEST), min_size=1, max_size=50)
parts = st.floats(0, 1)


def sketch(seconds):
    found = {}
    for each in seconds:
        merge(found, {bucket(each): 1})
    return found


@given(times, parts)
def test_a_quantile_is_within_the_error_of_the_true_one(seconds, part):
    true = sorted(seconds)[max(1, math.ceil(part * len(seconds))) - 1]
    assert abs(quantile(sketch(seconds), part) - true) <= true * ERROR * 1.000001


@given(times, times, times)
def test_merging_in_any_order_and_grouping_is_the_same(one, two, three):
    left = sketch(one)
    merge(left, sketch(two))
    merge(left, sketch(three))
    inner = sketch(three)
    merge(inner, sketch(two))
    merge(inner, sketch(one))
    assert left == inner == sketch(one + two + three) == unpacked(packed(left))


def test_times_out_of_bounds_count_as_the_bounds_and_no_call_has_no_quantile():
    assert (bucket(0), bucket(-1), bucket(1e99)) == (bucket(SHORTEST), bucket(SHORTEST), bucket(LONGEST))
    assert quantile({}, 0.5) is None
    assert abs(quantile({bucket(0): 1}, 1) - SHORTEST) <= SHORTEST * ERROR * 1.000001
