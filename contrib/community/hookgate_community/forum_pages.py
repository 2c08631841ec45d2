"""Pages about the forum of an API."""

from __future__ import annotations

from quart import Response, request

from hookgate_community.forum import Closed, Forum, Topic
from hookgate_community.visiting import Visits, now_and_then, paged
from hookgate_community.writing import Post, Title
from hookgate_management.pages import (
    AFTER,
    CHANGES,
    LIMIT,
    READS,
    Body,
    Operation,
    Refusal,
    after,
    as_json,
    clean_name,
    number,
    schema_of,
    sent_as,
)

TOPICS, POSTS = "/apis/<name>/topics", "/apis/<name>/topics/<key>/posts"
PATCH = ("application/merge-patch+json", "application/json")


class NewTopic(Body):
    """What a topic begins with."""

    title: Title
    text: Post


class ChangedTopic(Body):
    """What changes of a topic."""

    closed: bool


class NewPost(Body):
    """What somebody posts."""

    text: Post


def forum_pages(visits: Visits) -> None:
    """Add the pages."""
    _topics(visits)
    _topic(visits)
    _posts(visits)


async def _found(kept: Forum, name: str, topic: str) -> Topic:
    found = await kept.topic(name, clean_name(topic))
    if found is None:
        raise Refusal(404, f"There is no topic {topic[:100]}.", "missing")
    return found


def _topics(visits: Visits) -> None:
    @visits.api.add(
        Operation(
            "GET",
            TOPICS,
            "topics",
            "List the topics of the forum of an API, the newest first",
            {200: "topics"},
            READS | {400, 404},
            (LIMIT, AFTER),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def listing(name: str) -> Response:
        visit, limit = visits.look(name), number("limit", 100, 1000)
        listed = await Forum(await visits.store()).topics(name, after(), limit + 1)
        return paged("topics", [visits.told(visit, each) for each in listed], limit)

    @visits.api.add(
        Operation(
            "POST",
            TOPICS,
            "make-topic",
            "Begin a topic in the forum of an API",
            {201: "topic"},
            CHANGES,
            sends=schema_of(NewTopic),
            headers=("Location",),
            of_tenants=True,
        )
    )
    @now_and_then
    async def make(name: str) -> Response:
        visit = visits.come(name)
        author, wanted = await visits.author(visit), await sent_as(NewTopic)
        made = await Forum(await visits.store()).begin(author, name, wanted.title, wanted.text)
        return as_json(visits.told(visit, made), 201, {"Location": f"{request.path}/{made.id}"})


def _topic(visits: Visits) -> None:
    place = f"{TOPICS}/<key>"

    @visits.api.add(
        Operation(
            "GET",
            place,
            "topic",
            "Return a topic",
            {200: "topic"},
            READS | {404},
            of_tenants=True,
            anonymous=True,
        )
    )
    async def one(name: str, key: str) -> Response:
        visit = visits.look(name)
        return as_json(visits.told(visit, await _found(Forum(await visits.store()), name, key)))

    @visits.api.add(
        Operation(
            "PATCH",
            place,
            "close-topic",
            "Close a topic, which takes no more posts then, or open it again, as somebody who moderates",
            {200: "topic"},
            CHANGES,
            sends=schema_of(ChangedTopic),
            media=PATCH,
            of_tenants=True,
        )
    )
    async def close(name: str, key: str) -> Response:
        visit = visits.come(name)
        kept = Forum(await visits.store())
        topic = await _found(kept, name, key)
        visit.let_moderate()
        wanted = await sent_as(ChangedTopic)
        await kept.close(visit.by, name, topic, closed=wanted.closed)
        return as_json(visits.told(visit, await _found(kept, name, key)))

    @visits.api.add(
        Operation(
            "DELETE",
            place,
            "remove-topic",
            "Remove a topic with its posts: an own one, or as somebody who moderates",
            {200: "nothing"},
            READS | {404},
            of_tenants=True,
        )
    )
    async def remove(name: str, key: str) -> Response:
        visit = visits.come(name)
        kept = Forum(await visits.store())
        topic = await _found(kept, name, key)
        visit.let_remove(topic.author)
        await kept.remove(visit.by, name, topic)
        return as_json({})


def _posts(visits: Visits) -> None:
    @visits.api.add(
        Operation(
            "GET",
            POSTS,
            "posts",
            "List the posts in a topic, the oldest first",
            {200: "posts"},
            READS | {400, 404},
            (LIMIT, AFTER),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def listing(name: str, key: str) -> Response:
        visit, limit = visits.look(name), number("limit", 100, 1000)
        kept = Forum(await visits.store())
        listed = await kept.posts((await _found(kept, name, key)).id, after(), limit + 1)
        return paged("posts", [visits.told(visit, each) for each in listed], limit)

    @visits.api.add(
        Operation(
            "POST",
            POSTS,
            "make-post",
            "Write a post in a topic",
            {201: "post"},
            CHANGES,
            sends=schema_of(NewPost),
            of_tenants=True,
        )
    )
    @now_and_then
    async def make(name: str, key: str) -> Response:
        visit = visits.come(name)
        kept = Forum(await visits.store())
        topic = await _found(kept, name, key)
        author, wanted = await visits.author(visit), await sent_as(NewPost)
        try:
            made = await kept.answer(author, topic.id, wanted.text)
        except Closed:
            raise Refusal(409, f"The topic {topic.title!r} is closed, and takes no more posts.", "closed") from None
        return as_json(visits.told(visit, made), 201)

    @visits.api.add(
        Operation(
            "DELETE",
            "/apis/<name>/posts/<key>",
            "remove-post",
            "Remove a post in a topic: an own one, or as somebody who moderates",
            {200: "nothing"},
            READS | {404},
            of_tenants=True,
        )
    )
    async def remove(name: str, key: str) -> Response:
        visit = visits.come(name)
        kept = Forum(await visits.store())
        post = await kept.post(name, clean_name(key))
        if post is None:
            raise Refusal(404, f"There is no post {key[:100]}.", "missing")
        visit.let_remove(post.author)
        await kept.take_back(visit.by, name, post)
        return as_json({})
