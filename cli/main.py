"""The heddle command: puts the commands together and turns their failures into an exit status.

No command and no HTTP here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.commands import (
    addresses,
    bindings,
    connections,
    networks,
    nodes,
    overview,
    plan,
    pods,
    ports,
    projects,
    services,
    trace,
    verify,
)
from cli.failures import Failure, Unheard
from cli.options import (
    CaFileOption,
    OutputOption,
    ServerOption,
    TimeoutOption,
    TokenFileOption,
    TokenOption,
)

HELP = """Heddle: isolated tenant networks on Open vSwitch.

A change returns when it is in force on every switch that it touches.

Exit status: 0 done; 1 refused, not sound, or not as in the statement; 2 wrong usage; 3 no controller answers; 4 stored,
but not yet in force on every switch; 5 the traced packet is dropped.
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 25 ms that only --version needs

        typer.echo(f"heddle {version('heddle')}")
        raise typer.Exit


def _common(
    ctx: typer.Context,
    server: ServerOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = None,
    timeout: TimeoutOption = None,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Remember the options before the command; those after it come nearer (cli.options)."""
    ctx.obj = {
        "server": server,
        "token": token,
        "token_file": token_file,
        "ca_file": ca_file,
        "output": output,
        "timeout": timeout,
    }


def build() -> typer.Typer:
    """Return the app with all commands."""
    app = typer.Typer(
        name="heddle",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    tenancy = (networks, connections, projects, bindings, pods, services)
    for module in (*tenancy, nodes, ports, addresses, trace, verify, plan, overview):
        module.register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run heddle with these arguments (those of the process when None). Always ends by SystemExit."""
    try:
        build()(args=arguments, prog_name="heddle")
    except Unheard as failure:
        sys.exit(failure.status)
    except Failure as failure:
        sys.stdout.flush()
        print(f"heddle: {failure}", file=sys.stderr)
        sys.exit(failure.status)
