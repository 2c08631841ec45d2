"""What people write: who has written how much, and what a text may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_community.tables import new_id, written

LONGEST_TITLE, LONGEST_COMMENT, LONGEST_POST = 200, 4000, 20_000
"""Characters."""
_LAYOUT = "\n\r\t"


class TooOften(Exception):
    """Somebody has written as much as they may for now."""

    def __init__(self, most: int, seconds: float) -> None:
        super().__init__(f"You have written {most} times of late: wait for {int(seconds) + 1} s.")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, and how often they may."""

    name: str
    display: str
    most: int
    per: float
    """Seconds."""


async def let_write(connection: AsyncConnection, author: Author, now: float) -> None:
    """Count something that is written, within a transaction whose like come one after the other.

    Raises:
        TooOften: they have written enough.
    """
    theirs = written.c.author == author.name
    await connection.execute(delete(written).where(theirs, written.c.at <= now - author.per))
    counted = select(func.count(), func.min(written.c.at)).where(theirs)
    count, first = (await connection.execute(counted)).one()
    if count >= author.most:
        raise TooOften(author.most, max(0.0, first + author.per - now))
    await connection.execute(insert(written).values(id=new_id(now), author=author.name, at=now))


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise PydanticCustomError("line", "has printable characters only, and no blanks around")
    return text


def _several_lines(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("text", "is empty")
    if strange := next((each for each in text if not each.isprintable() and each < " " and each not in _LAYOUT), ""):
        raise PydanticCustomError("text", "has the control character {code}", {"code": f"U+{ord(strange):04X}"})
    return text


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
Line = Annotated[str, Field(max_length=100), AfterValidator(_one_line)]
Title = Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE), AfterValidator(_one_line)]
Comment = Annotated[str, Field(min_length=1, max_length=LONGEST_COMMENT), AfterValidator(_several_lines)]
Post = Annotated[str, Field(min_length=1, max_length=LONGEST_POST), AfterValidator(_several_lines)]
