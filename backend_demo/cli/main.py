"""The root of `bdemo`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from backend_demo import __version__
from backend_demo.cli import (
    bench,
    demo,
    down,
    env,
    logs,
    migrate,
    query,
    run,
    scale,
    simulate,
    status,
    tail,
    top,
    trace,
    up,
    verify,
)
from backend_demo.errors import BdemoError, ResourceInUse

app = typer.Typer(
    name="bdemo",
    help="A real-time IoT backend on this machine: sensors, MQTT, Kafka, Faust, PostgreSQL, REST.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bdemo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("scale")(scale.scale)
app.command("logs")(logs.logs)
app.command("simulate")(simulate.simulate)
app.add_typer(tail.app, name="tail")
app.add_typer(query.app, name="query")
app.command("trace")(trace.trace)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("run")(run.run)
app.command("env")(env.env)
app.command("migrate")(migrate.migrate)


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    """Unwinds the command, so that it cleans up."""
    sys.exit(128 + number)


def main() -> NoReturn:
    """Runs one command and ends the process with its exit code."""
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _on_sigterm)
    if sys.stdout is None:  # closed by the caller: `bdemo env >&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stays open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for °
    code = 1
    try:
        # outside standalone mode a typer.Exit comes back as its code
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except BdemoError as problem:
        if debug:
            raise
        _print_error(problem.message, problem.hint)
        code = problem.exit_code
    except typer.TyperException as problem:
        code = _usage_error(problem)
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        code = 130
    except (BrokenPipeError, SystemExit) as problem:
        # typer makes an exit of its own from a closed pipe
        if not any(isinstance(cause, BrokenPipeError) for cause in (problem, problem.__context__)):
            raise
        # the reader (`| head`) has what it wanted
        _drop_stdout()
        code = 0
    except Exception as problem:
        if debug:
            raise
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            _print_error(f"cannot write: {problem.strerror}", "free some disk space")
            _drop_stdout()
            sys.exit(ResourceInUse.exit_code)
        _print_error(
            f"{type(problem).__name__}: {problem}", "this is a bug in bdemo; run again with: bdemo --debug ..."
        )
    sys.exit(code)


def _drop_stdout() -> None:
    """Without it, Python tries once more while it ends, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_error(problem: typer.TyperException) -> int:
    """A wrong command line, told as `error:` and `hint:`; no command at all, by the help."""
    context = getattr(problem, "ctx", None)
    message = getattr(problem, "format_message", lambda: str(problem))()
    if type(problem).__name__ == "NoArgsIsHelpError":  # typer keeps the class private; its message is the help
        print(message, file=sys.stderr)
        return 2
    command = context.command_path if context is not None else "bdemo"
    message = message.replace("Value error, ", "")  # typer's, in front of a choice that does not exist
    _print_error(message[:1].lower() + message[1:].rstrip("."), f"see {command} --help")
    return int(getattr(problem, "exit_code", 2))


def _print_error(message: str, hint: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text.assemble(("hint: ", "cyan"), hint))
