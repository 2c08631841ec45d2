"""What asks the store while it serves says so while a document is loaded, and not in the first call."""

from __future__ import annotations

from pydantic import ValidationInfo

from hookgate_storage.fencing import OWN_SECTION
from hookgate_storage.serving import get
from hookgate_storage.variables import FOLLOWED

NO_STORE = "this gateway reads none: set HOOKGATE_SOURCE=store, for `hookgate check` as for `hookgate serve`"
FAR = "this gateway follows that of another one, and knows nobody of it: write callers into its file, as other methods"


def ask_store(info: ValidationInfo, what: str) -> None:
    """Refuse options of a plugin that asks the store of this gateway, where a document is loaded without one; for a
    validator of pydantic. ``what`` it asks for begins the message.

    Raises:
        ValueError: nothing is stored here, or this is a node far away, which has what is stored and no store.
    """
    named = getattr((info.context or {}).get("builder"), "named", {})
    if not named:  # no document is loaded
        return
    served = "".join(named.get(OWN_SECTION, ()))
    reading = get(served)
    if not served:
        raise ValueError(f"{what} of a store, and {NO_STORE}")
    if served == FOLLOWED or (reading is not None and reading.allowed.followed):
        raise ValueError(f"{what} of a store, and {FAR}")
