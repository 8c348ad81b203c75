"""The root of `bdemo`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from backend_demo import __version__
from backend_demo.cli import (
    backup,
    chaos,
    demo,
    dlq,
    down,
    env,
    logs,
    migrate,
    mqtt,
    open_page,
    query,
    render,
    restore,
    run,
    scale,
    secrets,
    signals,
    simulate,
    status,
    tail,
    up,
    verify,
)
from backend_demo.cli.bench.command import bench
from backend_demo.cli.help import App
from backend_demo.cli.top.command import top
from backend_demo.cli.trace.command import trace
from backend_demo.errors import FULL_DISK, BdemoError, ConfigurationInvalid, DiskFull, UsageError

app = App(
    name="bdemo",
    help="A real-time IoT backend on this machine: sensors, MQTT, Kafka, Faust, PostgreSQL, REST.",
    no_args_is_help=True,
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


STACK, DATA, CHECK, DEVELOP = "Run the stack", "Send and see readings", "Check and measure", "Develop"

app.command("demo", rich_help_panel=STACK)(demo.demo)
app.command("up", rich_help_panel=STACK)(up.up)
app.command("down", rich_help_panel=STACK)(down.down)
app.command("status", rich_help_panel=STACK)(status.status)
app.command("top", rich_help_panel=STACK)(top)
app.command("open", rich_help_panel=STACK)(open_page.open_page)
app.command("scale", rich_help_panel=STACK)(scale.scale)
app.command("logs", rich_help_panel=STACK)(logs.logs)
app.add_typer(mqtt.app, name="mqtt", rich_help_panel=STACK)
app.add_typer(secrets.app, name="secrets", rich_help_panel=STACK)
app.command("backup", rich_help_panel=STACK)(backup.backup)
app.command("restore", rich_help_panel=STACK)(restore.restore)
app.command("simulate", rich_help_panel=DATA)(simulate.simulate)
app.add_typer(tail.app, name="tail", rich_help_panel=DATA)
app.add_typer(query.app, name="query", rich_help_panel=DATA)
app.add_typer(dlq.app, name="dlq", rich_help_panel=DATA)
app.command("trace", rich_help_panel=DATA)(trace)
app.command("verify", rich_help_panel=CHECK)(verify.verify)
app.command("bench", rich_help_panel=CHECK)(bench)
app.add_typer(chaos.app, name="chaos", rich_help_panel=CHECK)
app.command("run", rich_help_panel=DEVELOP)(run.run)
app.command("env", rich_help_panel=DEVELOP)(env.env)
app.command("migrate", rich_help_panel=DEVELOP)(migrate.migrate)


def main() -> NoReturn:
    """Runs one command and ends the process with its exit code."""
    gc.set_threshold(50_000)  # imports make some 100,000 objects and no garbage: looking for it is a tenth of a command
    arguments = sys.argv[1:]
    debug, as_json = "--debug" in arguments, render.wants_json(arguments)
    signals.handled(signals.end)
    sys.excepthook = render.print_traceback
    if sys.stdout is None:  # closed by the caller: `bdemo env >&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stays open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for °
    try:
        # outside standalone mode a typer.Exit comes back as its code
        result = app(prog_name="bdemo", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
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
        if debug and not isinstance(problem, typer.TyperException):
            raise
        code = _report(problem, as_json)
    sys.exit(code)


def _report(problem: Exception, as_json: bool) -> int:
    """Prints why the command failed, and returns its exit code."""
    if type(problem).__name__ == "NoArgsIsHelpError":  # typer keeps the class private; its message is the help
        typer.echo(problem, err=True)
        return UsageError.exit_code
    error = _as_bdemo_error(problem)
    try:
        if as_json:
            render.report(error, as_json=True)
        sys.stdout.flush()
    except OSError:  # nobody reads stdout any more, or the disk is full
        _drop_stdout()
        as_json = False
    if not as_json:
        render.report(error, as_json=False)
    return error.exit_code


def _as_bdemo_error(problem: Exception) -> BdemoError:
    if isinstance(problem, BdemoError):
        return problem
    if isinstance(problem, typer.TyperException):
        return _usage_error(problem)
    if isinstance(problem, OSError) and problem.errno in FULL_DISK:
        return DiskFull(problem)
    if isinstance(problem, PermissionError) and problem.filename:
        hint = "run the command as its owner, or name another file or directory"
        return ConfigurationInvalid(f"no permission for {problem.filename}", hint=hint)
    return BdemoError(
        f"{type(problem).__name__}: {problem}", hint="this is a bug in bdemo; run again with: bdemo --debug ..."
    )


def _usage_error(problem: typer.TyperException) -> UsageError:
    """What typer says of a wrong command line, in our form."""
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "bdemo"
    message = problem.format_message().replace("is not a valid int", "is not a valid integer")
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=f"see {command} --help")


def _drop_stdout() -> None:
    """Without it, Python tries once more while it ends, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
