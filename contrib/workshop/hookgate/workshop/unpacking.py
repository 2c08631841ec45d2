"""Bodies that came packed, unpacked to be looked at."""

import zlib

MOST_STREAMS = 10_000
"""Streams of gzip that may follow each other in one body."""
_PIECE = 4096
"""Bytes that are unpacked at once: what is left of them where a stream ends is copied."""


class CannotUnpack(Exception):
    """A body that is not in a coding known here, or longer than it may be; the text says why, and nothing of it."""


class CodingUnknown(CannotUnpack):
    """It is in a coding that is not known here."""


class TooLongUnpacked(CannotUnpack):
    """It is longer than it may be."""


def unpacked(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content coding of a body of at most ``limit`` bytes.

    Raises:
        CodingUnknown: it is another one than gzip and deflate.
        TooLongUnpacked: the body is longer.
        CannotUnpack: it is broken.
    """
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise CodingUnknown(f"it is encoded ({encoding[:40]})")
    plain, at = bytearray(), 0
    for _ in range(MOST_STREAMS):  # of gzip several may follow each other (RFC 1952, 2.2)
        packed = zlib.decompressobj(31 if "gzip" in encoding else 15)
        while not packed.eof:
            piece = data[at : at + _PIECE]
            try:
                plain += packed.decompress(piece, limit + 1 - len(plain))
            except zlib.error:
                raise CannotUnpack(f"it is not the {encoding} it says") from None
            at += len(piece) - len(packed.unused_data)
            if len(plain) > limit:
                raise TooLongUnpacked(f"it is longer than {limit} bytes")
            if not (piece or packed.eof):
                raise CannotUnpack(f"it is not one whole {encoding} body")
        if at == len(data):
            return bytes(plain)
        if encoding == "deflate":
            break
    raise CannotUnpack(f"it is not one whole {encoding} body")
