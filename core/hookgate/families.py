"""The families core knows. A family is itself an entry point (``hookgate.families``), so that others can add theirs."""

from dataclasses import dataclass, field
from typing import Any

from hookgate import hookspecs, plugin, section


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of plugin: what it may implement and how it is found."""

    name: str
    """Singular, as in distribution names: ``interceptor``."""
    plural: str
    """As in ``plugins/interceptors`` and the entry-point group ``hookgate.interceptors``."""
    spec: type
    """The class that holds its hook specifications."""
    base: type[plugin.Plugin[Any]]
    """What its plugins inherit from."""
    summary: str = field(default="", compare=False)

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"hookgate.{self.plural}"


INTERCEPTORS = Family("interceptor", "interceptors", hookspecs.FlowSpec, plugin.Interceptor, "Steps of a flow.")
AUTH = Family("auth", "auth", hookspecs.AuthSpec, plugin.AuthMethod, "Who is calling.")
CREDENTIALS = Family(
    "credential", "credentials", hookspecs.CredentialsSpec, plugin.Credential, "How we call a backend."
)
HEADERS = Family("header", "headers", hookspecs.HeaderSpec, plugin.HeaderProvider, "Values of header actions.")
BALANCERS = Family("balancer", "balancers", hookspecs.BalancerSpec, plugin.Balancer, "Which target is next.")
MONITORS = Family("monitor", "monitors", hookspecs.MonitorSpec, plugin.Monitor, "Is a target well.")
OBSERVERS = Family("observer", "observers", hookspecs.ObserverSpec, plugin.Observer, "Watch, never change.")
SOURCES = Family("source", "sources", hookspecs.SourceSpec, plugin.Source, "Where the document comes from.")
TRANSPORTS = Family("transport", "transports", hookspecs.TransportSpec, plugin.Transport, "Carry calls to targets.")
SECRETS = Family("secret", "secrets", hookspecs.SecretsSpec, plugin.SecretProvider, "Resolve references.")
DISCOVERY = Family("discovery", "discovery", hookspecs.DiscoverySpec, plugin.Discovery, "Targets that come and go.")
APPS = Family("app", "apps", hookspecs.AppSpec, plugin.App, "Pages and APIs.")
SECTIONS = Family(
    "section", "sections", hookspecs.SectionSpec, section.Section, "What stands at the top of a document."
)
COMMANDS = Family("command", "commands", hookspecs.CommandSpec, plugin.Command, "What people type behind hookgate.")
