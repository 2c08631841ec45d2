"""Bodies that came packed, unpacked to be looked at."""

import zlib

MOST_STREAMS = 10_000
"""Streams of gzip that may follow each other in one body."""
_PIECE = 4096
"""Bytes that are unpacked at once: what is left of them where a stream ends is copied."""


class CannotUnpack(Exception):
    """A body that is not in a coding known here, or longer than it may be; the text says why, and nothing of it."""


def unpacked(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content coding of a body of at most ``limit`` bytes.

    Raises:
        CannotUnpack: it is another one than gzip and deflate, broken, or longer.
    """
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise CannotUnpack(f"it is encoded ({encoding})")
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
            if len(plain) > limit or not (piece or packed.eof):
                raise CannotUnpack(f"it is longer than {limit} bytes, or not whole")
        if at == len(data):
            return bytes(plain)
        if encoding == "deflate":
            break
    raise CannotUnpack(f"it is not one whole {encoding} body")
