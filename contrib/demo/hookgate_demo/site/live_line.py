"""A plugin of this site: no package, only a file in the folder that ``plugins_dir`` names."""

import time

from rich.console import Console
from rich.text import Text

from hookgate import Exchange, Health, Observer, Options, Target, hookimpl


class LiveLine(Observer[Options]):
    """Prints a line for every call, and one for every target that changes sides."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.console = Console(soft_wrap=True, highlight=False)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Show status, time, target, call, and the steps that let it pass."""
        status = exchange.response.status if exchange.response is not None else 0
        style = "green" if status < 400 else "yellow" if status < 500 else "red"
        steps = " > ".join(name.rpartition("/")[2] for name in exchange.passed)
        by = f" ■ {exchange.answered_by.rpartition('/')[2]}" if exchange.answered_by else ""
        why = f" ✗ {exchange.fault.reason}" if exchange.fault is not None else ""
        line = Text(time.strftime("%H:%M:%S  "))
        line.append(f"{status or 'gone':>6}", style=style)
        line.append(f"{((exchange.finished or exchange.started) - exchange.started) * 1000:7.1f}  ")
        line.append(f"{exchange.target.authority if exchange.target else '-':<15}  ")
        line.append(f"{exchange.request.method} {exchange.request.path}  ")
        line.append(f"{steps}{by}{why}", style="dim")
        self.console.print(line)

    @hookimpl
    def target_changed(self, target: Target, health: Health) -> None:
        """Show a target that left the rotation or came back."""
        word, style = ("healthy again", "green") if health.healthy else (f"unhealthy: {health.reason}", "red")
        self.console.print(Text(f"{time.strftime('%H:%M:%S')}  target {target.authority} is {word}", style=style))
