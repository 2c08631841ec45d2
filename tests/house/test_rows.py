import pytest

from . import rows

KNOWN = {row for part in rows.titles().values() for row in part}

each_proof = pytest.mark.parametrize("proof", rows.proofs(), ids=str)


def test_every_row_stands_in_one_part_and_has_a_title():
    parts = rows.titles()

    assert len(KNOWN) == sum(map(len, parts.values()))
    assert all(title for part in parts.values() for title in part.values())


@each_proof
def test_a_test_names_rows_that_exist(proof):
    assert set(proof.rows) <= KNOWN


@each_proof
def test_a_row_is_proved_through_the_public_door(proof):
    assert proof.by_public_door, "use hookgate.testing.running or the command line, or take the mark away"


def test_the_page_of_rows_is_up_to_date():
    page = rows.PAGE.read_text(encoding="utf-8")

    assert page == rows.page(), "run: python tests/house/rows.py --write"
