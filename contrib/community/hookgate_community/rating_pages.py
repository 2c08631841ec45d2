"""Pages about the rating of an API."""

from __future__ import annotations

from pydantic import Field
from quart import Response

from hookgate_community.rating import LEAST, MOST, Ratings
from hookgate_community.visiting import Visit, Visits, now_and_then
from hookgate_management.pages import CHANGES, READS, Body, Operation, as_json, schema_of, sent_as

PLACE = "/apis/<name>/rating"


class Rated(Body):
    """What somebody gives an API."""

    rating: int = Field(ge=LEAST, le=MOST)


def rating_pages(visits: Visits) -> None:
    """Add the pages."""
    api = visits.api

    async def answer(visit: Visit) -> Response:
        kept, caller = Ratings(await visits.store()), visit.caller
        told = (await kept.of([visit.api]))[visit.api]
        own = None if caller is None or caller.person is None else await kept.own(visit.api, caller.name)
        return as_json({**told, "own": own})

    @api.add(
        Operation(
            "GET",
            PLACE,
            "rating",
            "Return how an API is rated",
            {200: "rating"},
            READS | {404},
            of_tenants=True,
            anonymous=True,
        )
    )
    async def one(name: str) -> Response:
        return await answer(visits.look(name))

    @api.add(
        Operation(
            "PUT",
            PLACE,
            "rate",
            "Rate an API, in the place of the rating that the caller has given it before",
            {200: "rating"},
            CHANGES,
            sends=schema_of(Rated),
            of_tenants=True,
        )
    )
    @now_and_then
    async def rate(name: str) -> Response:
        visit = visits.come(name)
        author = await visits.author(visit, rates=True)
        wanted = await sent_as(Rated)
        await Ratings(await visits.store()).give(author, visit.api, wanted.rating)
        return await answer(visit)

    @api.add(
        Operation(
            "DELETE",
            PLACE,
            "take-back-rating",
            "Remove the rating that the caller has given an API",
            {200: "rating"},
            READS | {404},
            of_tenants=True,
        )
    )
    async def take_back(name: str) -> Response:
        visit = visits.come(name)
        user = visits.user(visit).name
        await Ratings(await visits.store()).take_back(user, visit.api)
        return await answer(visit)
