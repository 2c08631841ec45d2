"""Pages about the documents of an API (KC-48): what somebody does not see is not there."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import Url
from quart import Response, request

from hookgate_community.documents import MARKDOWN, Document, Documents, File, Source, Type, Written
from hookgate_community.visibility import LEVELS, SAME, Level
from hookgate_community.visiting import Visit, Visits, paged
from hookgate_community.writing import Line, Name
from hookgate_management.pages import (
    AFTER,
    CHANGES,
    IF_MATCH,
    LIMIT,
    READS,
    Body,
    Operation,
    Parameter,
    Refusal,
    after,
    as_json,
    clean_name,
    expected,
    invalid,
    number,
    schema_of,
    sent_as,
)

LONGEST_TEXT, LONGEST_SUMMARY, LONGEST_URL, LONGEST_FILENAME = 200_000, 1000, 2000, 200
"""Characters."""
PLACE = "/apis/<name>/documents"
ONE, CONTENT = f"{PLACE}/<key>", f"{PLACE}/<key>/content"
MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(?:[ \t]*;[ -~]*)?")
DOWNLOADED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Whatever somebody has put there, no browser runs it as a page of ours."""
_web = TypeAdapter(Url)


class SentDocument(Body):
    """What a publisher writes of a document."""

    name: Name
    type: Type
    other_type: Line = ""
    summary: Annotated[str, Field(max_length=LONGEST_SUMMARY), StringConstraints(pattern=r"^[^\x00]*$")] = ""
    visibility: Level | None = None
    source: Source = "inline"
    text: Annotated[str, Field(max_length=LONGEST_TEXT), StringConstraints(pattern=r"^[^\x00]*$")] | None = None
    url: Annotated[str, Field(max_length=LONGEST_URL)] | None = None


def document_pages(visits: Visits) -> None:
    """Add the pages."""
    _list(visits)
    _one(visits)
    _content(visits)


def _list(visits: Visits) -> None:
    @visits.api.add(
        Operation(
            "GET",
            PLACE,
            "documents-of-api",
            "List the documents of an API that the caller sees",
            {200: "documents-of-api"},
            READS | {400, 404},
            (LIMIT, AFTER),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def listing(name: str) -> Response:
        visit, limit = visits.look(name), number("limit", 100, 1000)
        listed = await Documents(await visits.store()).page(name, visit.levels, after(), limit + 1)
        return paged("documents", [_told(each) for each in listed], limit, levels=_levels(visits))

    @visits.api.add(
        Operation(
            "POST",
            PLACE,
            "make-document",
            "Make a document of an API; a file is put into it afterwards",
            {201: "document-of-api"},
            CHANGES,
            sends=schema_of(SentDocument),
            headers=("ETag", "Location"),
            of_tenants=True,
        )
    )
    async def make(name: str) -> Response:
        visit = visits.come(name)
        visit.let_keep()
        kept, wanted = Documents(await visits.store()), _checked(visits, await sent_as(SentDocument), SAME)
        made = await kept.make(visit.by, name, wanted, visits.settings.documents)
        return _answer(made, 201, {"Location": f"{request.path}/{made.id}"})


def _one(visits: Visits) -> None:
    @visits.api.add(
        Operation(
            "GET",
            ONE,
            "document-of-api",
            "Return a document of an API",
            {200: "document-of-api"},
            READS | {404},
            headers=("ETag",),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def one(name: str, key: str) -> Response:
        return _answer(await _found(Documents(await visits.store()), visits.look(name), key))

    @visits.api.add(
        Operation(
            "PUT",
            ONE,
            "replace-document",
            "Put something else in the place of a document; a visibility that is left out stays",
            {200: "document-of-api"},
            CHANGES,
            (IF_MATCH,),
            schema_of(SentDocument),
            headers=("ETag",),
            of_tenants=True,
        )
    )
    async def put(name: str, key: str) -> Response:
        visit, kept = visits.come(name), Documents(await visits.store())
        old = await _found(kept, visit, key)
        visit.let_keep()
        wanted = _checked(visits, await sent_as(SentDocument), old.visibility)
        return _answer(await kept.replace(visit.by, old, wanted, expected()))

    @visits.api.add(
        Operation(
            "DELETE",
            ONE,
            "remove-document",
            "Remove a document of an API",
            {200: "nothing"},
            READS | {400, 404, 412},
            (IF_MATCH,),
            of_tenants=True,
        )
    )
    async def remove(name: str, key: str) -> Response:
        visit, kept = visits.come(name), Documents(await visits.store())
        old = await _found(kept, visit, key)
        visit.let_keep()
        await kept.remove(visit.by, old, expected())
        return as_json({})


def _content(visits: Visits) -> None:
    @visits.api.add(
        Operation(
            "GET",
            CONTENT,
            "document-content",
            "Return the file of a document, or its text, as something to be kept",
            {200: "document-content"},
            READS | {404},
            answer_media="*/*",
            headers=("Content-Disposition",),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def get(name: str, key: str) -> Response:
        kept = Documents(await visits.store())
        found = await _found(kept, visits.look(name), key)
        body = found.text.encode() if found.source == "inline" else await kept.body(found.id)
        if body is None:
            raise Refusal(404, f"The document {found.name} has no content here.", "missing")
        answer = Response(body, 200, DOWNLOADED, content_type=found.media or MARKDOWN)
        answer.headers.set("Content-Disposition", "attachment", filename=found.filename or f"{found.name}.md")
        return answer

    filename = Parameter("filename", "What the file is called; as the document, if left out.")

    @visits.api.add(
        Operation(
            "PUT",
            CONTENT,
            "put-document-content",
            "Put a file into a document, which has the source `file` then; its content type is kept",
            {200: "document-of-api"},
            CHANGES,
            (filename, IF_MATCH),
            {},
            ("*/*",),
            headers=("ETag",),
            of_tenants=True,
        )
    )
    async def put(name: str, key: str) -> Response:
        visit, kept = visits.come(name), Documents(await visits.store())
        old = await _found(kept, visit, key)
        visit.let_keep()
        media = request.headers.get("Content-Type", "")
        body: Any = await request.get_data()
        if not MEDIA.fullmatch(media) or len(media) > 200:
            raise Refusal(415, "Say what the file is: Content-Type: application/pdf, for example.", "media-type")
        if len(body) > (most := visits.settings.longest_content):
            raise Refusal(413, f"A file has at most {most:,} bytes: raise `community.longest_content`.", "too-large")
        file = File(_filename(request.args.get("filename", old.name)), media, body)
        return _answer(await kept.put(visit.by, old, file, expected()))


async def _found(kept: Documents, visit: Visit, document: str) -> Document:
    """Return a document that somebody sees.

    Raises:
        Refusal: there is none for them.
    """
    found = await kept.get(visit.api, clean_name(document))
    if found is None or found.visibility not in visit.levels:
        raise Refusal(404, f"There is no document {document[:100]}.", "missing")
    return found


def _levels(visits: Visits) -> list[Level]:
    return [*LEVELS] if visits.settings.document_visibility_levels else [SAME]


def _checked(visits: Visits, sent: SentDocument, has: Level) -> Written:
    """Return what was sent, whose parts fit each other.

    Raises:
        Refusal: they do not, or the visibility may not be chosen; what a document has it may keep.
    """
    if sent.visibility not in (None, has) and sent.visibility not in _levels(visits):
        detail = "documents are seen by whoever sees the API here: community.document_visibility_levels is false"
        raise invalid("visibility", detail)
    for source, name, value in (("inline", "text", sent.text), ("url", "url", sent.url)):
        if sent.source == source and not value:
            raise invalid(name, f"is needed for the source {source}")
        if sent.source != source and value is not None:
            raise invalid(name, f"is for the source {source} only, and this is {sent.source}")
    if sent.other_type and sent.type != "OTHER":
        raise invalid("other_type", "is for the type OTHER only")
    url = "" if sent.url is None else _url(sent.url)
    return Written(
        sent.name, sent.type, sent.other_type, sent.summary, sent.visibility, sent.source, sent.text or "", url
    )


def _url(written: str) -> str:
    """Return a URL that people may be led to, as it is read.

    Raises:
        Refusal: it is none, leads to something else than a web page, or has a password.
    """
    try:
        found = _web.validate_python(written)
    except ValidationError as error:
        raise invalid("url", f"is no URL: {error.errors()[0]['msg']}") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise invalid("url", "begins with http:// or https://")
    if found.username or found.password:
        raise invalid("url", "has no user and no password in it: everybody would see them")
    if len(str(found)) > LONGEST_URL:
        raise invalid("url", f"has up to {LONGEST_URL} characters")
    return str(found)


def _filename(written: str) -> str:
    if not 0 < len(written) <= LONGEST_FILENAME or not written.isprintable():
        raise Refusal(400, f"filename has 1 to {LONGEST_FILENAME} printable characters.", "query")
    return re.sub(r"[/\\]", "_", written)


def _told(document: Document, *, whole: bool = False) -> dict[str, Any]:
    told = asdict(document)
    if not whole or document.source != "inline":
        del told["text"]
    return told


def _answer(document: Document, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return as_json(_told(document, whole=True), status, {"ETag": f'"{document.version}"', **(headers or {})})
