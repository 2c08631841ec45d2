"""Pages about comments on an API."""

from __future__ import annotations

from quart import Response, request

from hookgate_community.speaking import Comments, Said
from hookgate_community.visiting import Visits, now_and_then, paged
from hookgate_community.writing import Comment
from hookgate_management.pages import (
    AFTER,
    CHANGES,
    LIMIT,
    READS,
    Body,
    Operation,
    Parameter,
    Refusal,
    after,
    as_json,
    clean_name,
    number,
    schema_of,
    sent_as,
)

PLACE = "/apis/<name>/comments"


class NewComment(Body):
    """What somebody says of an API."""

    text: Comment
    reply_to: str = ""


def comment_pages(visits: Visits) -> None:
    """Add the pages."""
    api = visits.api
    reply_to = Parameter("reply_to", "The id of a comment: list the replies to it, the oldest first.")

    async def found(kept: Comments, name: str, comment: str) -> Said:
        said = await kept.get(name, clean_name(comment))
        if said is None:
            raise Refusal(404, f"There is no comment {comment[:100]}.", "missing")
        return said

    @api.add(
        Operation(
            "GET",
            PLACE,
            "comments",
            "List comments on an API, the newest first",
            {200: "comments"},
            READS | {400, 404},
            (LIMIT, AFTER, reply_to),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def listing(name: str) -> Response:
        visit, limit = visits.look(name), number("limit", 100, 1000)
        kept, above = Comments(await visits.store()), request.args.get("reply_to", "")
        if above:
            above = (await found(kept, name, above)).id
        listed = await kept.page(name, after(), limit + 1, above)
        return paged("comments", [visits.told(visit, each) for each in listed], limit)

    @api.add(
        Operation(
            "POST",
            PLACE,
            "make-comment",
            "Say something about an API, or reply to a comment",
            {201: "comment"},
            CHANGES,
            sends=schema_of(NewComment),
            headers=("Location",),
            of_tenants=True,
        )
    )
    @now_and_then
    async def make(name: str) -> Response:
        visit = visits.come(name)
        author, wanted = await visits.author(visit), await sent_as(NewComment)
        kept = Comments(await visits.store())
        made = await kept.make(author, name, wanted.text, clean_name(wanted.reply_to))
        return as_json(visits.told(visit, made), 201, {"Location": f"{request.path}/{made.id}"})

    @api.add(
        Operation(
            "GET",
            f"{PLACE}/<key>",
            "comment",
            "Return a comment",
            {200: "comment"},
            READS | {404},
            of_tenants=True,
            anonymous=True,
        )
    )
    async def one(name: str, key: str) -> Response:
        visit = visits.look(name)
        return as_json(visits.told(visit, await found(Comments(await visits.store()), name, key)))

    @api.add(
        Operation(
            "DELETE",
            f"{PLACE}/<key>",
            "remove-comment",
            "Remove a comment with the replies to it: an own one, or as somebody who moderates",
            {200: "nothing"},
            READS | {404},
            of_tenants=True,
        )
    )
    async def remove(name: str, key: str) -> Response:
        visit = visits.come(name)
        kept = Comments(await visits.store())
        said = await found(kept, name, key)
        visit.let_remove(said.author)
        await kept.remove(visit.by, name, said)
        return as_json({})
