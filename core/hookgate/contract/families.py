"""The families core knows, and the base classes that are nothing but a name. A family is itself an entry point
(``hookgate.families``), so that others can add theirs.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hookgate.contract import backends, hookspecs, section, steps
from hookgate.contract.plugin import OptionsT, Plugin

if TYPE_CHECKING:
    from hookgate.contract.hookspecs import (
        AppSpec,
        AuthSpec,
        CommandSpec,
        CountersSpec,
        ObserverSpec,
        SecretsSpec,
        SourceSpec,
        StateSpec,
    )
else:
    AppSpec = AuthSpec = CommandSpec = CountersSpec = ObserverSpec = SecretsSpec = SourceSpec = StateSpec = object


class AuthMethod(Plugin[OptionsT], AuthSpec):
    """A way to find out who is calling; see :class:`hookgate.contract.hookspecs.AuthSpec`."""

    family = "auth"


class Observer(Plugin[OptionsT], ObserverSpec):
    """Watches; see :class:`hookgate.contract.hookspecs.ObserverSpec`."""

    family = "observer"


class Source(Plugin[OptionsT], SourceSpec):
    """Provides the document; see :class:`hookgate.contract.hookspecs.SourceSpec`."""

    family = "source"


class SecretProvider(Plugin[OptionsT], SecretsSpec):
    """Resolves references; see :class:`hookgate.contract.hookspecs.SecretsSpec`."""

    family = "secret"


class CounterStore(Plugin[OptionsT], CountersSpec):
    """Counts limits; see :class:`hookgate.contract.hookspecs.CountersSpec`."""

    family = "counters"


class StateStore(Plugin[OptionsT], StateSpec):
    """Keeps the state of plugins; see :class:`hookgate.contract.hookspecs.StateSpec`."""

    family = "state"


class App(Plugin[OptionsT], AppSpec):
    """Pages and APIs; see :class:`hookgate.contract.hookspecs.AppSpec`."""

    family = "app"


class Command(Plugin[OptionsT], CommandSpec):
    """A command of ``hookgate``; see :class:`hookgate.contract.hookspecs.CommandSpec`. No document gives it options."""

    family = "command"


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of plugin: what it may implement and how it is found."""

    name: str
    """Singular, as in distribution names: ``interceptor``."""
    plural: str
    """As in ``plugins/interceptors`` and the entry-point group ``hookgate.interceptors``."""
    spec: type
    """The class that holds its hook specifications."""
    base: type[Plugin[Any]]
    """What its plugins inherit from."""
    summary: str = field(default="", compare=False)

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"hookgate.{self.plural}"


INTERCEPTORS = Family("interceptor", "interceptors", hookspecs.FlowSpec, steps.Interceptor, "Steps of a flow.")
AUTH = Family("auth", "auth", hookspecs.AuthSpec, AuthMethod, "Who is calling.")
CREDENTIALS = Family(
    "credential", "credentials", hookspecs.CredentialsSpec, backends.Credential, "How we call a backend."
)
HEADERS = Family("header", "headers", hookspecs.HeaderSpec, backends.HeaderProvider, "Values of header actions.")
BALANCERS = Family("balancer", "balancers", hookspecs.BalancerSpec, backends.Balancer, "Which target is next.")
MONITORS = Family("monitor", "monitors", hookspecs.MonitorSpec, backends.Monitor, "Is a target well.")
OBSERVERS = Family("observer", "observers", hookspecs.ObserverSpec, Observer, "Watch, never change.")
SOURCES = Family("source", "sources", hookspecs.SourceSpec, Source, "Where the document comes from.")
TRANSPORTS = Family("transport", "transports", hookspecs.TransportSpec, backends.Transport, "Carry calls to targets.")
SECRETS = Family("secret", "secrets", hookspecs.SecretsSpec, SecretProvider, "Resolve references.")
DISCOVERY = Family("discovery", "discovery", hookspecs.DiscoverySpec, backends.Discovery, "Targets that come and go.")
COUNTERS = Family("counters", "counters", hookspecs.CountersSpec, CounterStore, "Where limits are counted.")
STATE = Family("state", "state", hookspecs.StateSpec, StateStore, "What outlives a restart.")
APPS = Family("app", "apps", hookspecs.AppSpec, App, "Pages and APIs.")
SECTIONS = Family(
    "section", "sections", hookspecs.SectionSpec, section.Section, "What stands at the top of a document."
)
COMMANDS = Family("command", "commands", hookspecs.CommandSpec, Command, "What people type behind hookgate.")
