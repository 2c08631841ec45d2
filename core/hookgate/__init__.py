"""hookgate: an API gateway whose every behaviour is a plugin. These names are the promise; everything else may move."""

from pkgutil import extend_path

from hookgate.contract.backends import (
    Balancer,
    Certificate,
    Credential,
    Discovery,
    Failures,
    HeaderProvider,
    Monitor,
    MonitorOptions,
    Pool,
    Send,
    Transport,
)
from hookgate.contract.clock import Clock
from hookgate.contract.counters import CalendarWindow, Decision, Limit
from hookgate.contract.duration import Duration, PositiveDuration, WholeSeconds
from hookgate.contract.families import (
    App,
    AuthMethod,
    Command,
    CounterStore,
    Family,
    Observer,
    SecretProvider,
    Source,
    StateStore,
)
from hookgate.contract.hookspecs import hookimpl, hookspec
from hookgate.contract.host import Host, HttpClient
from hookgate.contract.metrics import Counter, Gauge, Histogram, Metrics, Sample, ShownMetric
from hookgate.contract.plugin import Entry, Options, Plugin
from hookgate.contract.secret import Secret
from hookgate.contract.section import ConnectionName, Definition, Item, Loaded, Refers, Route, Section, Site
from hookgate.contract.state import Cache, Conflict, Kept, Row, State, StateError, StateRefused
from hookgate.contract.steps import Answered, Branch, Faulted, FlowOptions, Interceptor, Ways
from hookgate.exchange.amid import Callout
from hookgate.exchange.belonging import ApiInfo, Application
from hookgate.exchange.bodies import Body, Sink
from hookgate.exchange.certificate import ClientCertificate
from hookgate.exchange.encryption import TlsFacts
from hookgate.exchange.errors import (
    BadGateway,
    BadRequest,
    ConfigError,
    ConnectFailed,
    ContentTooLarge,
    Fault,
    Forbidden,
    GatewayTimeout,
    HookgateError,
    LoopDetected,
    MachineError,
    MethodNotAllowed,
    NotFound,
    PluginError,
    Problem,
    RequestTimeout,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UnprocessableContent,
)
from hookgate.exchange.exchange import Exchange, Identity, exchange_of
from hookgate.exchange.hiding import MASK, hide, hide_in
from hookgate.exchange.messages import Headers, Message, Request, Response
from hookgate.exchange.outbound import Attempt, Health, Outbound, Outcome, Target, Timeouts
from hookgate.exchange.waiting import Signal
from hookgate.expressions import Expression, ExpressionError

__path__ = extend_path(__path__, __name__)
"""The test kit and the workshop are packages below this one, and distributions of their own."""
__version__ = "0.1.0"

__all__ = [
    "MASK",
    "Answered",
    "ApiInfo",
    "App",
    "Application",
    "Attempt",
    "AuthMethod",
    "BadGateway",
    "BadRequest",
    "Balancer",
    "Body",
    "Branch",
    "Cache",
    "CalendarWindow",
    "Callout",
    "Certificate",
    "ClientCertificate",
    "Clock",
    "Command",
    "ConfigError",
    "Conflict",
    "ConnectFailed",
    "ConnectionName",
    "ContentTooLarge",
    "Counter",
    "CounterStore",
    "Credential",
    "Decision",
    "Definition",
    "Discovery",
    "Duration",
    "Entry",
    "Exchange",
    "Expression",
    "ExpressionError",
    "Failures",
    "Family",
    "Fault",
    "Faulted",
    "FlowOptions",
    "Forbidden",
    "GatewayTimeout",
    "Gauge",
    "HeaderProvider",
    "Headers",
    "Health",
    "Histogram",
    "HookgateError",
    "Host",
    "HttpClient",
    "Identity",
    "Interceptor",
    "Item",
    "Kept",
    "Limit",
    "Loaded",
    "LoopDetected",
    "MachineError",
    "Message",
    "MethodNotAllowed",
    "Metrics",
    "Monitor",
    "MonitorOptions",
    "NotFound",
    "Observer",
    "Options",
    "Outbound",
    "Outcome",
    "Plugin",
    "PluginError",
    "Pool",
    "PositiveDuration",
    "Problem",
    "Refers",
    "Request",
    "RequestTimeout",
    "Response",
    "Route",
    "Row",
    "Sample",
    "Secret",
    "SecretProvider",
    "Section",
    "Send",
    "ServiceUnavailable",
    "ShownMetric",
    "Signal",
    "Sink",
    "Site",
    "Source",
    "State",
    "StateError",
    "StateRefused",
    "StateStore",
    "Target",
    "Timeouts",
    "TlsFacts",
    "TooManyRequests",
    "Transport",
    "Unauthorized",
    "UnprocessableContent",
    "Ways",
    "WholeSeconds",
    "exchange_of",
    "hide",
    "hide_in",
    "hookimpl",
    "hookspec",
]
