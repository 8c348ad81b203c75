"""Groups of options that several commands share: a dataclass whose fields are the options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from backend_demo.cli import options

if TYPE_CHECKING:
    from backend_demo.operations.query import Gateway


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter that is a dataclass replaced by the options that are its fields."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(group := hints[name]):
            groups[name] = group
            parameters += _parameters(group)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]


@dataclass(frozen=True)
class GatewayOptions:
    """Which gateway is asked."""

    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Ask this gateway instead of the stack's.", show_default=False),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            "--token", metavar="TOKEN", help="The gateway's token.  [env: BDEMO_GATEWAY_TOKEN]", show_default=False
        ),
    ] = None
    state_dir: options.StateDir = None

    def address(self) -> tuple[str, str]:
        """URL and token. Raises NoStack when no URL is given and no stack runs."""
        own = self.url is None
        settings = options.attached(self.state_dir) if own else options.settings(state_dir=self.state_dir)
        url = settings.gateway_url if self.url is None else self.url
        return url, settings.gateway_token if self.token is None else self.token

    def connect(self) -> Gateway:
        """A client of the gateway. Raises NoStack, UsageError."""
        from backend_demo.operations.query import Gateway

        return Gateway(*self.address())
