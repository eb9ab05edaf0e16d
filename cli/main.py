"""The heddle command: puts the commands together and turns their failures into an exit status.

No command and no HTTP here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.commands import (
    addresses,
    bindings,
    connections,
    egresses,
    endpoints,
    groups,
    mirrors,
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
    PROGRAM,
    CaFileOption,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
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
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Remember the options before the command; those after it come nearer (cli.options)."""
    ctx.obj = {
        **(ctx.obj or {}),
        "server": server,
        "token": token,
        "token_file": token_file,
        "ca_file": ca_file,
        "output": output,
        "timeout": timeout,
        "kubeconfig": kubeconfig,
        "context": context,
        "namespace": namespace,
    }


def build(plugin_of: str | None = None) -> typer.Typer:
    """Return the app with all commands; as a plug-in of kubectl or oc, it finds the controllers with that."""
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(
        name="heddle",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        add_completion=plugin_of is None,  # kubectl has completion of its own
        context_settings=settings if plugin_of is None else settings | {"obj": {PROGRAM: plugin_of}},
    )
    app.callback()(_common)
    tenancy = (networks, connections, projects, bindings, pods, services, endpoints, egresses, mirrors, groups)
    for module in (*tenancy, nodes, ports, addresses, trace, verify, plan, overview):
        module.register(app)
    return app


def main(arguments: Sequence[str] | None = None, plugin_of: str | None = None) -> None:
    """Run heddle with these arguments (those of the process when None). Always ends by SystemExit.

    `plugin_of` is kubectl or oc when it is called by that.
    """
    name = f"{plugin_of} heddle" if plugin_of else "heddle"
    try:
        build(plugin_of)(args=arguments, prog_name=name)
    except Unheard as failure:
        sys.exit(failure.status)
    except Failure as failure:
        sys.stdout.flush()
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(failure.status)
