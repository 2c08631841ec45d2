"""Ratings, comments and the forum of APIs, over the management API."""

import asyncio
from dataclasses import replace

import pytest

from hookgate_community.pruning import old_writing
from hookgate_community.writing import Author, TooOften, let_write
from hookgate_storage import Keep

from .square import A, B

TEXT = "<script>alert(1)</script>\n*bold* \N{SNOWMAN}"


def said(square, place, who, **body):
    told = square.told("POST", place, body or {"text": TEXT}, who, 201)
    return told["id"]


def ids(square, place, what, who=None):
    return [each["id"] for each in square.told("GET", place, who=who)[what]]


@pytest.fixture(scope="module")
def sue(square):
    return square.person("subscriber", display="Sue")


@pytest.fixture(scope="module")
def joe(square):
    return square.person("subscriber")


@pytest.fixture(scope="module")
def pat(square):
    return square.person("publisher", name="pat")


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_each_user_rates_an_api_once_and_the_page_of_the_api_has_average_and_count(square, sue, joe):
    api, kim = square.publish(), square.person("subscriber")
    place = f"/apis/{api}/rating"
    assert square.told("GET", place, who=None) == {"average": None, "count": 0, "own": None}
    for who, rating in ((sue, 1), (joe, 4), (kim, 5), (sue, 5)):
        square.told("PUT", place, {"rating": rating}, who)
    assert square.told("GET", place, who=sue) == {"average": 4.67, "count": 3, "own": 5}
    shown = {"average": 4.67, "count": 3}
    assert square.told("GET", f"/apis/{api}", who=None)["rating"] == shown
    listed = {each["api"]: each["rating"] for each in square.told("GET", "/apis?limit=1000", who=None)["apis"]}
    assert listed[api] == shown
    assert square.told("DELETE", place, who=joe) == {"average": 5.0, "count": 2, "own": None}
    assert square.told("DELETE", place, who=joe)["count"] == 2
    for rating in (0, 6, 2.5, "5", True, None):
        assert square.api("PUT", place, {"rating": rating}, sue).status_code == 422, rating
    assert square.told("GET", place, who=sue)["own"] == 5


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_comments_have_replies_of_one_level_and_come_in_pages(square, sue, joe):
    api = square.publish()
    place = f"/apis/{api}/comments"
    first, *others = [said(square, place, sue) for _ in range(4)]
    replies = [said(square, place, joe, text=f"reply {n}", reply_to=first) for n in range(3)]
    told = square.told("GET", f"{place}/{first}", who=None)
    assert (told["text"], told["replies"], told["parent"], told["display"]) == (TEXT, 3, "", "Sue")
    seen, after = [], ""
    while after is not None:
        page = square.told("GET", f"{place}?limit=3&after={after}", who=None)
        assert len(page["comments"]) <= 3
        seen += [each["id"] for each in page["comments"]]
        assert len(seen) <= 4
        after = page.get("next")
    assert seen == [*reversed(others), first]
    assert ids(square, f"{place}?reply_to={first}", "comments") == replies
    assert ids(square, f"{place}?reply_to={first}&after={replies[0]}&limit=1", "comments") == replies[1:2]
    again = square.api("POST", place, {"text": "x", "reply_to": replies[0]}, sue)
    assert (again.status_code, "reply itself" in again.json()["detail"]) == (422, True)
    assert square.api("POST", place, {"text": "x", "reply_to": "nothing"}, sue).status_code == 404
    assert square.api("GET", f"{place}?reply_to=nothing", who=sue).status_code == 404
    square.told("DELETE", f"{place}/{first}", who=sue)
    assert ids(square, place, "comments") == [*reversed(others)]
    assert square.api("GET", f"{place}/{replies[0]}", who=joe).status_code == 404


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_a_forum_has_topics_with_posts_and_a_closed_topic_takes_no_more(square, sue, joe, pat):
    api = square.publish()
    place = f"/apis/{api}/topics"
    topics = [said(square, place, sue, title=f"How {n}", text=TEXT) for n in range(3)]
    posts = [said(square, f"{place}/{topics[0]}/posts", who) for who in (joe, sue, pat)]
    told = square.told("GET", f"{place}/{topics[0]}", who=None)
    assert (told["title"], told["text"], told["posts"], told["closed"]) == ("How 0", TEXT, 3, False)
    assert ids(square, place, "topics") == topics[::-1]
    assert ids(square, f"{place}?after={topics[1]}", "topics") == topics[:1]
    assert ids(square, f"{place}/{topics[0]}/posts", "posts") == posts
    page = square.told("GET", f"{place}/{topics[0]}/posts?limit=2", who=None)
    assert ids(square, f"{place}/{topics[0]}/posts?after={page['next']}", "posts") == posts[2:]

    close = f"{place}/{topics[0]}"
    assert square.api("PATCH", close, {"closed": True}, sue).status_code == 403
    assert square.told("PATCH", close, {"closed": True}, pat)["closed"] is True
    for who in (sue, pat):
        refused = square.api("POST", f"{close}/posts", {"text": "late"}, who)
        assert (refused.status_code, "is closed" in refused.json()["detail"]) == (409, True)
    square.told("PATCH", close, {"closed": False}, pat)
    last = said(square, f"{close}/posts", joe)
    assert ids(square, f"{close}/posts", "posts") == [*posts, last]
    assert ("pat", f"topics/{topics[0]} on {api}", {"closed": False}) in square.audited("change")

    assert square.api("DELETE", f"/apis/{api}/posts/{last}", who=sue).status_code == 403
    square.told("DELETE", f"/apis/{api}/posts/{last}", who=joe)
    assert ids(square, f"{close}/posts", "posts") == posts
    square.told("DELETE", close, who=sue)
    assert square.api("GET", f"{close}/posts", who=sue).status_code == 404
    assert square.api("DELETE", f"/apis/{api}/posts/{posts[0]}", who=joe).status_code == 404


@pytest.mark.row("KC-82")
@pytest.mark.row("KC-11")
def test_who_has_written_something_removes_it_and_who_moderates_with_an_entry_in_the_audit(square, sue, joe, pat):
    api, creator = square.publish(), square.person("creator")
    made = {
        f"/apis/{api}/comments/{said(square, f'/apis/{api}/comments', sue)}": "comments",
        f"/apis/{api}/topics/{(topic := said(square, f'/apis/{api}/topics', sue, title='x', text='x'))}": "topics",
        f"/apis/{api}/posts/{said(square, f'/apis/{api}/topics/{topic}/posts', sue)}": "posts",
    }
    for place, kind in reversed(made.items()):
        for who in (joe, creator, "reader"):
            assert square.api("DELETE", place, who=who).status_code == 403, (place, who)
        assert square.api("DELETE", place, who=None).status_code == 401
        square.told("DELETE", place, who=pat)
        assert square.api("DELETE", place, who=sue).status_code == 404
        what = f"{kind}/{place.rpartition('/')[2]} on {api}"
        assert [(who, before["author"]) for who, name, before in square.audited("remove") if name == what] == [
            ("pat", sue)
        ]


@pytest.mark.row("KC-82")
@pytest.mark.row("KC-11")
def test_who_has_not_said_who_they_are_reads_and_writes_nothing_and_neither_does_who_may_not(square, sue, pat):
    api, nobody = square.publish(), square.person()
    topic = said(square, f"/apis/{api}/topics", sue, title="x", text="x")
    writes = [
        ("PUT", f"/apis/{api}/rating", {"rating": 5}),
        ("POST", f"/apis/{api}/comments", {"text": "x"}),
        ("POST", f"/apis/{api}/topics", {"title": "x", "text": "x"}),
        ("POST", f"/apis/{api}/topics/{topic}/posts", {"text": "x"}),
    ]
    assert square.statuses(writes, None) == [401] * 4
    assert square.statuses(writes, nobody) == square.statuses(writes, "reader") == [403] * 4
    taken_back = ("DELETE", f"/apis/{api}/rating")
    assert square.statuses([taken_back], None) == [401]
    assert square.statuses([*writes, taken_back], "root") == [409] * 5  # stands in the document, and is no user
    assert square.statuses(writes, pat) == [403, 201, 201, 201]  # who publishes it answers, and does not rate
    reads = [("GET", path) for _, path, _ in writes]
    assert square.statuses(reads, None) == square.statuses(reads, nobody) == [200] * 4
    assert square.api("GET", f"/apis/{api}/comments", who=None, authorization="Bearer wrong").status_code == 401


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_what_is_said_of_an_api_is_hidden_with_it_and_tenants_are_apart(square):
    ann, bob, boss = (
        square.person(role, name=f"{name}@{where}")
        for role, name, where in (
            ("subscriber", "ann", A),
            ("subscriber", "bob", B),
            ("publisher", "boss", B),
        )
    )
    api, shown = square.publish(f"inner@{A}", level={"level": "domain"}), square.publish(f"outer@{A}")
    for each in (api, shown):
        topic = said(square, f"/apis/{each}/topics", ann, title="x", text="x")
        post = said(square, f"/apis/{each}/topics/{topic}/posts", ann)
        comment = said(square, f"/apis/{each}/comments", ann)
        calls = [
            ("GET", f"/apis/{each}/rating"),
            ("GET", f"/apis/{each}/comments"),
            ("GET", f"/apis/{each}/comments/{comment}"),
            ("GET", f"/apis/{each}/topics"),
            ("GET", f"/apis/{each}/topics/{topic}"),
            ("GET", f"/apis/{each}/topics/{topic}/posts"),
        ]
        writes = [
            ("PUT", f"/apis/{each}/rating", {"rating": 5}),
            ("POST", f"/apis/{each}/comments", {"text": "x"}),
            ("POST", f"/apis/{each}/topics", {"title": "x", "text": "x"}),
            ("POST", f"/apis/{each}/topics/{topic}/posts", {"text": "x"}),
            ("DELETE", f"/apis/{each}/comments/{comment}"),
            ("PATCH", f"/apis/{each}/topics/{topic}", {"closed": True}),
            ("DELETE", f"/apis/{each}/topics/{topic}"),
            ("DELETE", f"/apis/{each}/posts/{post}"),
        ]
        hidden = each == api
        for who in (bob, boss):
            assert square.statuses(calls, who) == [404 if hidden else 200] * len(calls), (each, who)
            assert square.statuses(writes, who) == [404 if hidden else 403] * len(writes), (each, who)
        assert square.statuses(calls, None) == [404 if hidden else 200] * len(calls)
        assert square.statuses(calls, ann) == [200] * len(calls)
    # what is of one API is not to be had through another one
    others = [("GET", f"/apis/{api}/comments/{comment}"), ("DELETE", f"/apis/{api}/comments/{comment}")]
    others += [("GET", f"/apis/{api}/topics/{topic}"), ("GET", f"/apis/{api}/topics/{topic}/posts")]
    others += [("DELETE", f"/apis/{api}/posts/{post}"), ("GET", f"/apis/{api}/comments?reply_to={comment}")]
    assert square.statuses(others, ann) == [404] * len(others)
    # people of others do not learn what somebody logs in with
    told = {who: square.told("GET", f"/apis/{shown}/comments/{comment}", who=who) for who in (ann, bob, None, "root")}
    assert {who: (each["author"], each["own"]) for who, each in told.items()} == {
        ann: (ann, True),
        bob: (None, False),
        None: (None, False),
        "root": (ann, False),
    }
    assert [(each["display"], ann in str(told[who])) for who, each in told.items() if who in (bob, None)] == [
        ("", False),
        ("", False),
    ]
    # whom an API is offered to has a say
    square.live("PUT", f"/objects/visibilities/{shown}", {"subscriptions": "listed", "tenants": [B]})
    assert square.told("PUT", f"/apis/{shown}/rating", {"rating": 2}, bob)["count"] == 1


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_who_writes_too_often_waits_and_removing_does_not_help(square):
    api, eva, other = square.publish(), square.person("subscriber"), square.person("subscriber")
    with square.settings(writes=3, per="1h"):
        comment = said(square, f"/apis/{api}/comments", eva)
        said(square, f"/apis/{api}/topics", eva, title="x", text="x")
        square.told("PUT", f"/apis/{api}/rating", {"rating": 1}, eva)
        square.told("DELETE", f"/apis/{api}/comments/{comment}", who=eva)
        for method, what, body in (("POST", "comments", {"text": "x"}), ("PUT", "rating", {"rating": 5})):
            refused = square.api(method, f"/apis/{api}/{what}", body, eva)
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:hookgate:problem:too-often")
            assert 3590 <= int(refused.headers["retry-after"]) <= 3601
        assert square.told("GET", f"/apis/{api}/rating", who=eva)["own"] == 1
        said(square, f"/apis/{api}/comments", other)  # which is nothing to others


async def test_what_was_written_counts_for_a_while_also_where_two_write_at_once(stored):
    author = Author("eva", "", most=3, per=60.0)

    async def write(now, who=author):
        async with stored.aside() as connection:
            await let_write(connection, who, now)

    found = await asyncio.gather(*(write(1000.0) for _ in range(5)), return_exceptions=True)
    late = [each for each in found if each is not None]
    assert [type(each) for each in late] == [TooOften] * 2
    assert late[0].seconds == 60.0
    with pytest.raises(TooOften):
        await write(1059.0)
    await write(1059.0, replace(author, name="joe"))
    await write(1060.0)


async def test_who_has_written_when_is_forgotten_once_it_cannot_count_any_more(stored):
    old = replace(stored, clock=lambda: 1000.0 + 31 * 86400)
    async with stored.aside() as connection:
        for name, at in (("eva", 1000.0), ("joe", 1000.0 + 2 * 86400)):
            await let_write(connection, Author(name, "", most=3, per=60.0), at)
    found = [[count async for _, count in old_writing(old, Keep(), dry)] for dry in (True, False, False)]
    assert found == [[1], [1], []]


@pytest.mark.stores
def test_what_a_user_said_who_is_removed_is_nobodys_and_their_ratings_go(square):
    api = square.publish()
    gone = square.person("subscriber", name="gone", display="Gone")
    comment = said(square, f"/apis/{api}/comments", gone)
    topic = said(square, f"/apis/{api}/topics", gone, title="x", text="x")
    square.told("PUT", f"/apis/{api}/rating", {"rating": 5}, gone)
    square.told("DELETE", "/users/gone")
    assert square.person("subscriber", name="gone") == gone
    told = square.told("GET", f"/apis/{api}/comments/{comment}", who=gone)
    assert (told["author"], told["display"], told["own"], told["text"]) == (None, "", False, TEXT)
    for place in (f"/apis/{api}/comments/{comment}", f"/apis/{api}/topics/{topic}"):
        assert square.api("DELETE", place, who=gone).status_code == 403
    assert square.told("GET", f"/apis/{api}/rating")["count"] == 0


@pytest.mark.parametrize(
    ("what", "body", "where"),
    [
        ("comments", {"text": ""}, "/text"),
        ("comments", {"text": " \n"}, "/text"),
        ("comments", {"text": "x" * 4001}, "/text"),
        ("comments", {"text": "a\0b"}, "/text"),
        ("comments", {"text": "a\x1bb"}, "/text"),
        ("comments", {"text": 1}, "/text"),
        ("comments", {"text": "x", "author": "joe"}, "/author"),
        ("topics", {"title": "", "text": "x"}, "/title"),
        ("topics", {"title": "a\nb", "text": "x"}, "/title"),
        ("topics", {"title": "x" * 201, "text": "x"}, "/title"),
        ("topics", {"title": "x", "text": "x" * 20_001}, "/text"),
        ("topics", {"title": "x"}, "/text"),
    ],
)
def test_what_is_no_text_is_refused_and_says_where(square, sue, what, body, where):
    api = square.publish()
    refused = square.api("POST", f"/apis/{api}/{what}", body, sue)
    assert refused.status_code == 422, refused.text
    assert [each["pointer"] for each in refused.json()["errors"]] == [where]
    assert ids(square, f"/apis/{api}/{what}", what) == []
