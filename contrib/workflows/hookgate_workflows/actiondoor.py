"""The endpoints ``/api/v01/actions`` and ``/api/v01/actions/{id}``: what instances ask a caller, and the answers."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from hookgate import (
    BadRequest,
    Entry,
    Exchange,
    Fault,
    Forbidden,
    Host,
    Interceptor,
    NotFound,
    Options,
    Response,
    ServiceUnavailable,
    Unauthorized,
    hookimpl,
)
from hookgate_people import By
from hookgate_storage import StoreError
from hookgate_workflows.actions import Answerer, BadAnswer, Busy, Unanswerable, answer, open_actions
from hookgate_workflows.asking import note
from hookgate_workflows.executors import JournalAway


class Actions(Interceptor[Options]):
    """Lists what instances ask a caller, or takes the answer to one of these questions."""

    category = "mediation"
    sides = {"request"}
    writes = {"answer"}

    def __init__(self, does: Literal["list", "answer"]) -> None:
        super().__init__(Options())
        self.entry = Entry(f"workflow_engine.actions.{does}", f"workflow-actions-{does}", "interceptor")
        self._answers = does == "answer"
        self.path_params = frozenset({"id"} if self._answers else ())
        self.reads = {"request.body"} if self._answers else set()
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Do it; where the action is answered already, or over, the answer is 409.

        Raises:
            Unauthorized: nobody knows who calls.
            NotFound: there is no such action.
            Forbidden: it is for somebody else.
            BadRequest: the body is no answer.
            ServiceUnavailable: the journal is away, or the instance runs just now; the answer may be sent again.
        """
        identity = exchange.identity
        if identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        section: Any = self._host.section("workflow_engine")
        who = Answerer(identity.subject, frozenset(identity.roles), section.profiles.is_operator(identity))
        try:
            if not self._answers:
                return Response.json({"actions": await open_actions(section.engine, who)})
            key, body = exchange.params["id"], bytes(await exchange.request.body.read())
            told = await answer(section.engine, section.executor, key, _value(body), who, _forbidden)
            by = By(who.name, exchange.request.client)
            await note(self._host, by, "answer", told["transaction"], {"action": key, "answer": told["answer"]})
            return Response.json(told, 202)
        except LookupError:
            raise NotFound("There is no such action.", reason="no-action") from None
        except BadAnswer as error:
            raise BadRequest(f"{error}.", reason="bad-answer") from None
        except Busy:
            detail = "The transaction runs just now: send the answer again in a moment."
            raise ServiceUnavailable(detail, reason="busy", headers={"Retry-After": "1"}) from None
        except Unanswerable as error:
            problem = {"title": "Conflict", "status": 409, "reason": "unanswerable", "detail": f"{error}."}
            return Response.json({"type": "about:blank", **problem}, 409, "application/problem+json")
        except (JournalAway, StoreError) as error:
            self._host.log.warning("the journal of workflows is away: %s", error)
            raise ServiceUnavailable("The journal of workflows is away.", reason="journal-away") from None


def _forbidden() -> Fault:
    return Forbidden("This action is for somebody else.", reason="not-asked")


def _value(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None
