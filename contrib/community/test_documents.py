"""Documents of APIs over the management API: who writes them, who sees them, and what becomes of them."""

import itertools

import pytest

from hookgate_community.documents import Documents, Written
from hookgate_community.visibility import LEVELS
from hookgate_people import By

from .square import A, B, serving
from .test_document_levels import ROLE, SEEN

PDF = b"%PDF-1.7 \x00\xff <script>alert(1)</script>"


WHO = {
    "registered": f"registered@{A}",
    "in-role": f"inrole@{A}",
    "creator": f"creator@{A}",
    "publisher": f"publisher@{A}",
    "stranger": f"stranger@{B}",
    "strange-publisher": f"publisher@{B}",
}
HAVE = {
    "registered": ["subscriber"],
    "in-role": ["subscriber", ROLE],
    "creator": ["creator"],
    "publisher": ["publisher"],
    "stranger": ["subscriber"],
    "strange-publisher": ["publisher"],
}


@pytest.fixture(scope="module")
def people(square):
    """Somebody for each viewer."""
    for each, name in WHO.items():
        square.person(*HAVE[each], name=name)
    return WHO | {"anonymous": None}


def listed(square, api, who="root"):
    return {each["name"]: each for each in square.told("GET", f"/apis/{api}/documents", who=who)["documents"]}


@pytest.mark.stores
@pytest.mark.row("KC-48")
def test_a_document_is_seen_by_whom_its_level_says_and_is_404_to_others(square, people):
    for level in SEEN:
        visibility = {"level": level} | ({"roles": [f"{ROLE}@{A}"]} if level == "roles" else {})
        api = square.publish(f"{level}@{A}", level=visibility)
        there = {each: square.document(api, people["creator"], name=each, visibility=each)["id"] for each in LEVELS}
        for who, seen in SEEN[level].items():
            listed = square.api("GET", f"/apis/{api}/documents", who=people[who])
            if not seen:
                assert listed.status_code == 404, (level, who)
            else:
                assert {each["name"] for each in listed.json()["documents"]} == seen, (level, who)
            for each, place in itertools.product(LEVELS, ("", "/content")):
                answer = square.api("GET", f"/apis/{api}/documents/{there[each]}{place}", who=people[who])
                assert answer.status_code == (200 if each in seen else 404), (level, who, each, place)


@pytest.mark.row("KC-48")
def test_where_an_api_is_of_no_tenant_its_domain_is_who_is_of_none_and_has_logged_in(square, people):
    api, who = square.publish(), square.person("subscriber")
    for each in LEVELS:
        square.document(api, name=each, visibility=each)
    seen = {None: {"same"}, people["publisher"]: {"same"}, who: {"same", "domain"}, "reader": {*LEVELS}}
    assert {each: {*listed(square, api, each)} for each in seen} == seen


def test_what_is_hidden_is_404_also_to_who_would_change_it_and_what_is_seen_403(square, people):
    api = square.publish(f"asked@{A}")
    there = {each: square.document(api, people["publisher"], name=each, visibility=each)["id"] for each in LEVELS}
    said = {"name": "mine", "type": "OTHER", "text": "x"}
    made = f"/apis/{api}/documents"
    for who in ("registered", "stranger", "strange-publisher"):
        for level, status in (("private", 404), ("same", 403)):
            place = f"{made}/{there[level]}"
            calls = [("PUT", place, said), ("DELETE", place), ("PUT", f"{place}/content", b"x")]
            assert square.statuses(calls, people[who]) == [status] * 3, (who, level)
        assert square.api("POST", made, said, people[who]).status_code == 403
    assert square.api("POST", made, said, None).status_code == 401
    assert square.api("POST", f"/apis/nothing@{A} 1.0/documents", said, people["publisher"]).status_code == 404
    assert square.told("GET", f"{made}/{there['private']}", who=people["creator"])["name"] == "private"
    through = f"/apis/{square.publish()}/documents/{there['same']}"
    assert square.statuses([("GET", through), ("GET", f"{through}/content"), ("DELETE", through)], "root") == [404] * 3
    hidden = square.publish(f"unpublished@{A}", state="CREATED")
    place = f"/apis/{hidden}/documents"
    assert square.api("POST", place, said, people["registered"]).status_code == 404
    assert square.api("POST", place, said, people["creator"]).status_code == 201


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_a_document_is_made_read_replaced_and_removed(square):
    who, api = square.person("publisher"), square.publish()
    made = square.api(
        "POST", f"/apis/{api}/documents", {"name": "Guide", "type": "HOWTO", "text": "# Früh", "summary": "how"}, who
    )
    assert made.status_code == 201
    place = made.headers["location"].removeprefix("/-/api")
    told = square.api("GET", place, who=None)
    assert (told.headers["etag"], told.json()["text"], told.json()["visibility"]) == ('"1"', "# Früh", "same")
    assert "text" not in listed(square, api)["Guide"]
    text = square.api("GET", f"{place}/content", who=None)
    assert (text.content.decode(), text.headers["content-type"]) == ("# Früh", "text/markdown; charset=utf-8")
    assert text.headers["content-disposition"] == "attachment; filename=Guide.md"
    assert (
        square.api("POST", f"/apis/{api}/documents", {"name": "Guide", "type": "OTHER", "text": "x"}).status_code == 409
    )

    said = {"name": "Forum", "type": "SUPPORT_FORUM", "source": "url", "url": "HTTPS://Forum.example/a?b=c#d"}
    assert square.api("PUT", place, said, who, if_match='"9"').status_code == 412
    changed = square.told("PUT", place, said, who)
    assert (changed["url"], changed["version"], changed["source"]) == ("https://forum.example/a?b=c#d", 2, "url")
    assert square.api("GET", f"{place}/content", who=None).status_code == 404
    assert listed(square, api, None).keys() == {"Forum"}

    assert square.api("DELETE", place, who=who, if_match='"1"').status_code == 412
    assert square.told("DELETE", place, who=who) == {}
    assert square.api("GET", place, who=who).status_code == 404
    what = f"documents/{place.rpartition('/')[2]} of {api}"
    found = [
        [each[0] for each in square.audited(action) if each[1] == what] for action in ("create", "change", "remove")
    ]
    assert found == [[who]] * 3


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_a_file_is_given_back_as_it_came_and_never_as_a_page(square):
    who, api = square.person("creator"), square.publish()
    place = f"/apis/{api}/documents/{square.document(api, who, source='file')['id']}"
    assert square.api("GET", f"{place}/content", who=None).status_code == 404
    for media, name in (("text/html; charset=utf-8", 'a"b\N{SNOWMAN}/../c.html'), ("application/pdf", "spec.pdf")):
        put = square.api("PUT", f"{place}/content?filename={name}", PDF, who, content_type=media)
        assert put.status_code == 200, put.text
        assert (put.json()["media"], put.json()["size"]) == (media, len(PDF))
        found = square.api("GET", f"{place}/content", who=None)
        assert (found.content, found.headers["content-type"]) == (PDF, media)
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["content-disposition"].startswith("attachment; filename")
        assert found.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert found.headers["content-disposition"] == "attachment; filename=spec.pdf"
    # it stays while it is to be a file, and goes with another source
    said = {"name": "Guide", "type": "SAMPLES", "source": "file"}
    square.told("PUT", place, said, who)
    assert square.api("GET", f"{place}/content").content == PDF
    told = square.told("PUT", place, {**said, "source": "inline", "text": "none"}, who)
    assert (told["filename"], told["media"], told["size"]) == ("", "", 0)
    square.told("PUT", place, said, who)
    assert square.api("GET", f"{place}/content").status_code == 404


def test_a_file_that_is_none_is_refused(square):
    place = f"/apis/{(api := square.publish())}/documents/{square.document(api, source='file')['id']}/content"
    for headers, query, body, status in (
        ({}, "", b"x", 415),
        ({"content_type": "pdf"}, "", b"x", 415),
        ({"content_type": b"text/plain; a=\xfc"}, "", b"x", 415),
        ({"content_type": f"text/{'x' * 200}"}, "", b"x", 415),
        ({"content_type": "text/plain"}, "?filename=", b"x", 400),
        ({"content_type": "text/plain"}, "?filename=a%0d%0aSet-Cookie:b", b"x", 400),
        ({"content_type": "text/plain"}, f"?filename={'x' * 201}", b"x", 400),
        ({"content_type": "text/plain"}, "", b"x" * (1024 * 1024 + 1), 413),
    ):
        assert square.api("PUT", place + query, body, **headers).status_code == status, (headers, query)
    with square.settings(longest_content=10):
        assert square.api("PUT", place, b"x" * 10, content_type="text/plain").status_code == 200
        told = square.api("PUT", place, b"x" * 11, content_type="text/plain")
        assert (told.status_code, "at most 10 bytes" in told.json()["detail"]) == (413, True)
    assert square.api("GET", place).content == b"x" * 10


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"name": ""}, "/name"),
        ({"name": " a"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"type": "HOWTOS"}, "/type"),
        ({"type": "HOWTO", "other_type": "tale"}, "/other_type"),
        ({"visibility": "public"}, "/visibility"),
        ({"source": "ftp"}, "/source"),
        ({"text": None}, "/text"),
        ({"text": ""}, "/text"),
        ({"text": "x" * 200_001}, "/text"),
        ({"text": "a\0b"}, "/text"),
        ({"summary": "x" * 1001}, "/summary"),
        ({"summary": "a\0b"}, "/summary"),
        ({"url": "https://a.example"}, "/url"),
        ({"source": "file", "text": "x"}, "/text"),
        ({"source": "url", "text": None}, "/url"),
        ({"strange": 1}, "/strange"),
        *(
            ({"source": "url", "text": None, "url": url}, "/url")
            for url in (
                "javascript:alert(1)",
                "java\nscript:alert(1)",
                "data:text/html,x",
                "file:///etc/passwd",
                "ftp://a.example",
                "//a.example",
                "/a",
                "https://",
                "https://ann:secret@a.example",
                f"https://a.example/{'x' * 2000}",
                "a",
            )
        ),
    ],
)
def test_what_is_no_document_is_refused_and_says_where(square, more, where):
    api = square.publish("refused") if "refused 1.0" not in listed_apis(square) else "refused 1.0"
    told = square.api("POST", f"/apis/{api}/documents", {"name": "x", "type": "OTHER", "text": "x"} | more)
    assert told.status_code == 422, told.text
    assert where in [each["pointer"] for each in told.json()["errors"]]
    assert "secret" not in told.text
    assert listed(square, api) == {}


def listed_apis(square):
    return {each["api"] for each in square.told("GET", "/apis?limit=1000")["apis"]}


@pytest.mark.row("KC-48")
def test_a_document_is_seen_as_its_api_where_levels_are_not_switched_on(square):
    who, api = square.person("publisher"), square.publish()
    place = f"/apis/{api}/documents"
    private = square.document(api, who, name="private", visibility="private")
    with square.settings(document_visibility_levels=False):
        told = square.told("GET", place, who=who)
        assert (told["levels"], [each["name"] for each in told["documents"]]) == (["same"], ["private"])
        for level in ("domain", "private"):
            said = {"name": level, "type": "OTHER", "text": "x", "visibility": level}
            refused = square.api("POST", place, said, who)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/visibility")
        same = square.document(api, who, name="same")
        assert listed(square, api, None).keys() == {"same"}
        assert same["visibility"] == "same"
        # what was private does not come out with the switch, nor with a change of something else
        changed = {"name": "still private", "type": "HOWTO", "text": "x"}
        assert square.told("PUT", f"{place}/{private['id']}", changed, who)["visibility"] == "private"
        assert square.api("GET", f"{place}/{private['id']}", who=None).status_code == 404
        changed["visibility"] = "domain"
        assert square.api("PUT", f"{place}/{private['id']}", changed, who).status_code == 422
        assert square.told("PUT", f"{place}/{private['id']}", {**changed, "visibility": "same"}, who)
        assert square.api("GET", f"{place}/{private['id']}", who=None).status_code == 200


def test_documents_come_in_pages_and_an_api_has_so_many(square):
    api = square.publish()
    with square.settings(documents=5):
        for number in range(5):
            square.document(api, name=f"n{number}", visibility="private" if number == 1 else "same")
        refused = square.api("POST", f"/apis/{api}/documents", {"name": "n5", "type": "OTHER", "text": "x"})
        assert (refused.status_code, "may have 5" in refused.json()["detail"]) == (409, True)
    seen, after = [], ""
    while after is not None:
        page = square.told("GET", f"/apis/{api}/documents?limit=2&after={after}", who=None)
        assert len(page["documents"]) <= 2
        seen += [each["name"] for each in page["documents"]]
        assert len(seen) <= 4
        after = page.get("next")
    assert seen == ["n0", "n2", "n3", "n4"]
    for query in ("limit=0", "limit=x", "limit=1001"):
        assert square.api("GET", f"/apis/{api}/documents?{query}", who=None).status_code == 400


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_a_new_version_gets_copies_of_the_documents_with_files_and_levels(square):
    who, api = square.person("creator", "publisher"), square.publish()
    name = api.split()[0]
    square.document(api, who, name="first", text="one", visibility="private")
    file = square.document(api, who, name="second", source="file")["id"]
    square.api("PUT", f"/apis/{api}/documents/{file}/content", PDF, who, content_type="application/pdf")
    rehearsed = square.told("POST", f"/apis/{api}/copies?dry_run=true", {"version": "1.5"}, who)
    assert rehearsed["written"] is False
    assert square.told("POST", f"/apis/{api}/copies?wait=live", {"version": "2.0"}, who)["live"]
    copy = f"{name} 2.0"
    mine, theirs = listed(square, copy, who), listed(square, api, who)
    assert [*mine] == [*theirs] == ["first", "second"]
    assert (mine["first"]["visibility"], mine["first"]["version"]) == ("private", 1)
    assert mine["second"]["id"] != file
    assert square.api("GET", f"/apis/{copy}/documents/{mine['second']['id']}/content", who=who).content == PDF
    # they are its own
    square.told("DELETE", f"/apis/{api}/documents/{file}", who=who)
    assert square.api("GET", f"/apis/{copy}/documents/{mine['second']['id']}/content", who=who).content == PDF
    assert square.api("GET", f"/apis/{api}/documents/{mine['first']['id']}", who=who).status_code == 404


def test_documents_go_with_their_api_also_where_nobody_has_asked_for_any_since_the_gateway_runs(tmp_path):
    """It takes a gateway of its own, of which nothing was asked yet."""
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as square:
        api = square.publish()

        async def write(store):
            wanted = Written("left", "OTHER", visibility="private", text="x")
            await Documents(store).make(By("the test"), api, wanted, 9)

        square.store(write)
        body = square.told("GET", f"/objects/apis/{api}")["body"]
        square.live("DELETE", f"/objects/apis/{api}")
        square.live("POST", "/apply", {"changes": [{"kind": "apis", "name": api, "body": body}]})
        assert listed(square, api) == {}


@pytest.mark.stores
def test_documents_go_with_their_api_and_take_its_new_name(square):
    api = square.publish()
    square.document(api, name="kept")
    renamed = f"{api.split()[0]}-b 1.0"
    square.live("POST", f"/objects/apis/{api}/rename", {"to": renamed})
    assert listed(square, renamed).keys() == {"kept"}
    body = square.told("GET", f"/objects/apis/{renamed}")["body"]
    square.live("DELETE", f"/objects/apis/{renamed}")
    assert square.api("GET", f"/apis/{renamed}/documents").status_code == 404
    square.live("POST", "/apply", {"changes": [{"kind": "apis", "name": renamed, "body": body}]})
    assert listed(square, renamed) == {}
