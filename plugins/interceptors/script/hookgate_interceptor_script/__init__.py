"""Run a Python file of your own on each call."""

import linecache
import traceback
from collections.abc import Callable
from inspect import isawaitable
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from hookgate import Exchange, Host, Interceptor, Options, Response, hookimpl
from hookgate_interceptor_script.source import FUNCTIONS, Source, opened

__all__ = ["Script", "ScriptOptions"]


def _file(value: object) -> Source:
    if isinstance(value, Source):
        return value
    if not isinstance(value, str):
        raise ValueError("should be the path of a file")  # noqa: TRY004 - pydantic wants it so
    return opened(value)


class ScriptOptions(Options):
    """Options of `script`."""

    file: Annotated[Source, PlainValidator(_file), WithJsonSchema({"type": "string"})]
    """The script: a `.py` file in the folder that the setting `HOOKGATE_SCRIPTS` of the process names. Read again when
    it has changed and the document is loaded again."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Values for the script, which finds them as `values`; so one script can serve several places."""


class Script(Interceptor[ScriptOptions]):
    """Runs functions of a Python file on each call: `on_request`, `on_response` and `on_fault`, each with the exchange.

    They mean what the hooks of an interceptor mean, and may be `async def`. `on_request` returns nothing, or a response
    to answer here; it may raise a `Fault`. `exchange.variables` holds what other steps have left (FL-55).

    A script may do whatever the gateway may, so scripts run only from one folder, which the environment of the process
    names and no document can. A function that waits without `await` holds up every call; one that waits with it ends
    after `gateway.hook_timeout`. For more than a few lines write a plugin.
    """

    category = "custom"
    needs = "code"
    reads = {"request.body", "response.body", "identity"}
    writes = {
        *("request.headers", "request.body", "request.path", "response.status", "response.headers", "response.body"),
        *("identity", "variables"),
    }

    def __init__(self, options: ScriptOptions) -> None:
        super().__init__(options)
        self._functions: dict[str, Callable[[Exchange], Any]] = {}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Run the file once, for its functions.

        Raises:
            ValueError: it failed, with the line; or its functions cannot be called.
        """
        source = self.options.file
        module = ModuleType(f"_hookgate_script_{source.digest[:16]}")
        module.__file__ = str(source.path)
        names = vars(module)
        names["values"] = self.options.values
        names["log"] = host.log
        linecache.checkcache(str(source.path))
        try:
            exec(source.code, names)  # noqa: S102 - that is what it is for; see source.py for what may be run
        except Exception as error:
            frames = [
                frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(source.path)
            ]
            line = frames[-1].lineno if frames else 0
            raise ValueError(f"{source.path}:{line}: {type(error).__name__}: {error}") from error
        found = {name: names[name] for name in FUNCTIONS if name in names}
        for name, function in found.items():
            if not callable(function):
                raise ValueError(f"{source.path}: {name} is no function")  # noqa: TRY004 - of the value of an option
        if not found:
            raise ValueError(f"{source.path}: there is none of the functions {', '.join(FUNCTIONS)}")
        self._functions = found

    @hookimpl
    def shutdown(self) -> None:
        """Let go of the functions and of what they hold."""
        self._functions = {}

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response | None:
        """Call `on_request`."""
        answer: Response | None = await self._call("on_request", exchange)
        return answer

    @hookimpl
    async def on_response(self, exchange: Exchange) -> None:
        """Call `on_response`; a response that it returns takes the place of the one that is there."""
        answer = await self._call("on_response", exchange)
        if answer is not None:
            exchange.response = answer

    @hookimpl
    async def on_fault(self, exchange: Exchange) -> Response | None:
        """Call `on_fault`."""
        answer: Response | None = await self._call("on_fault", exchange)
        return answer

    async def _call(self, name: str, exchange: Exchange) -> Any:
        function = self._functions.get(name)
        if function is None:
            return None
        result = function(exchange)
        return await result if isawaitable(result) else result
