"""HTTP on the wire: what both sides share, and the side of the backend."""

from hookgate.http.forwarding import EXPECT_A_BODY, HOP_BY_HOP

__all__ = ["EXPECT_A_BODY", "HOP_BY_HOP"]
