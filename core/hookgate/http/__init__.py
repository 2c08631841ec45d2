"""HTTP on the wire: what both sides share, and the side of the backend."""

from hookgate.http.forwarding import BODILESS, EXPECT_A_BODY, HOP_BY_HOP

__all__ = ["BODILESS", "EXPECT_A_BODY", "HOP_BY_HOP"]
