"""`bdemo open`: a page of the gateway, in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.options import GatewayPage


@dataclass(frozen=True, kw_only=True)
class Document:
    """The address, as JSON."""

    schema: Literal["bdemo.open/1"] = "bdemo.open/1"
    address: str
    opened: bool
    """Whether a browser was started."""


def open_page(
    page: Annotated[
        GatewayPage, typer.Argument(metavar="PAGE", help="console, or docs: the description of the API.")
    ] = GatewayPage.console,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address; start no browser.")] = False,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Open the console in the browser, logged in.

    Where the gateway asks for a token (bdemo up --private), the address works once, within two minutes; the browser
    stays logged in for 12 hours.

    \b
    Examples:
      $ bdemo open
      $ bdemo open docs
      $ bdemo open --print
    """
    import webbrowser

    from backend_demo.operations import login

    settings = options.attached(state_dir)
    path = {GatewayPage.console: "/", GatewayPage.docs: "/docs"}[page]
    address = settings.gateway_url + path
    if settings.gateway_token:
        address = login.address(settings.gateway_url, settings.gateway_token, path)
    opened = not print_only and webbrowser.open(address)
    if not (opened or print_only):
        render.say("no browser was found: open this address in one")
    render.show(Document(address=address, opened=opened), output, lambda found: [found.address])
