"""Who sees a document of an API: as functions, over viewers, levels and tenants."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate_apimanager.visibility import Offer, Viewer, sees
from hookgate_community.visibility import LEVELS, levels_seen, may_speak, sees_document

from .square import A, B

ROLE = "staff"
VIEWERS = {
    "anonymous": Viewer(),
    "registered": Viewer(A),
    "in-role": Viewer(A, frozenset({f"{ROLE}@{A}"})),
    "creator": Viewer(A, insider=True),
    "publisher": Viewer(A, insider=True),
    "stranger": Viewer(B),
    "strange-publisher": Viewer(B, insider=True),
}
SEEN = {
    "public": {
        "anonymous": {"same"},
        "registered": {"same", "domain"},
        "in-role": {"same", "domain"},
        "creator": set(LEVELS),
        "publisher": set(LEVELS),
        "stranger": {"same"},
        "strange-publisher": {"same"},
    },
    "domain": {
        "anonymous": set(),
        "registered": {"same", "domain"},
        "in-role": {"same", "domain"},
        "creator": set(LEVELS),
        "publisher": set(LEVELS),
        "stranger": set(),
        "strange-publisher": set(),
    },
    "roles": {
        "anonymous": set(),
        "registered": set(),
        "in-role": {"same", "domain"},
        "creator": set(LEVELS),
        "publisher": set(LEVELS),
        "stranger": set(),
        "strange-publisher": set(),
    },
}
"""By the level of an API of tenant A, and by viewer: the levels of its documents that they see."""
MATRIX = [(level, who, SEEN[level][who]) for level in SEEN for who in VIEWERS]


@pytest.mark.parametrize(("level", "who", "seen"), MATRIX, ids=[f"{level}-{who}" for level, who, _ in MATRIX])
def test_the_matrix_of_documents_as_functions(level, who, seen):
    api = Offer(A, level, frozenset({f"{ROLE}@{A}", f"{ROLE}@{B}"}))

    assert levels_seen(VIEWERS[who], api) == seen
    assert [sees_document(VIEWERS[who], api, each) for each in LEVELS] == [each in seen for each in LEVELS]


tenants = st.sampled_from(["", A, B])
roles = st.frozensets(st.sampled_from(["staff", "intern"]))
viewers = st.builds(Viewer, st.none() | tenants, roles, st.booleans())
offers = st.builds(
    Offer, tenants, st.sampled_from(["public", "domain", "roles"]), roles, st.sampled_from(["current", "all"])
)


@settings(derandomize=True, max_examples=500)
@given(viewers, offers, st.sampled_from(LEVELS), st.booleans())
def test_nobody_sees_a_document_of_what_they_do_not_see_and_each_level_is_narrower(viewer, api, level, several):
    if sees_document(viewer, api, level):
        assert sees(viewer, api)
        assert all(sees_document(viewer, api, wider) for wider in LEVELS[: LEVELS.index(level)])
        assert sees_document(Viewer(viewer.tenant, viewer.roles | {"more"}, insider=True), api, level)
    assert sees_document(viewer, api, "same") == sees(viewer, api)
    if level != "same" and viewer.tenant != api.tenant:
        assert not sees_document(viewer, api, level)
    if level == "private" and not viewer.insider:
        assert not sees_document(viewer, api, level)
    if may_speak(viewer, api, several=several):
        assert viewer.tenant is not None
        assert sees(viewer, api)
