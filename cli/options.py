"""The options that every command has, before and after its name, and where their values come from.

A command declares its own parameters only; `command` adds these. Nearer wins: after the command, before it,
the environment, the default.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import typer

from cli.client import Access, Server
from cli.cluster import DEFAULT_NAMESPACE, Cluster, find
from cli.failures import Misused

DEFAULT_SERVER = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT = 10.0
_PANEL = "Server and output"
_CLUSTER = "In a Kubernetes cluster"


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        "-s",
        metavar="URL",
        rich_help_panel=_PANEL,
        show_default=False,
        help=f"The controller: http://HOST:PORT, https://HOST:PORT or unix:PATH. "
        f"Else $HEDDLE_SERVER, else {DEFAULT_SERVER}.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        rich_help_panel=_PANEL,
        show_default=False,
        help="Who you are. Others on this machine can read it while the command runs: prefer --token-file. "
        "Else $HEDDLE_TOKEN.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        rich_help_panel=_PANEL,
        show_default=False,
        help="A file that holds the token. Else $HEDDLE_TOKEN_FILE.",
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        rich_help_panel=_PANEL,
        show_default=False,
        help="Certificates (PEM) of the authorities trusted for https. Else $HEDDLE_CA_FILE, else the system's.",
    ),
]
OutputOption = Annotated[
    Output | None,
    typer.Option(
        "--output",
        "-o",
        rich_help_panel=_PANEL,
        show_default=False,
        help="table for people; json and yaml are the API's own objects. Default: table.",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0,
        max=60,
        rich_help_panel=_PANEL,
        show_default=False,
        help=f"How long to wait until a change is in force on every switch. Default: {DEFAULT_TIMEOUT:g}.",
    ),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        rich_help_panel=_CLUSTER,
        show_default=False,
        help="Find the controllers with kubectl, by this file. Else, as kubectl does, by $KUBECONFIG.",
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        rich_help_panel=_CLUSTER,
        show_default=False,
        help="Find the controllers with kubectl, in the cluster of this context of kubeconfig.",
    ),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        rich_help_panel=_CLUSTER,
        show_default=False,
        help=f"Find the controllers with kubectl, in this namespace. Default: {DEFAULT_NAMESPACE}.",
    ),
]

COMMON: Mapping[str, Any] = {
    "server": ServerOption,
    "token": TokenOption,
    "token_file": TokenFileOption,
    "ca_file": CaFileOption,
    "output": OutputOption,
    "timeout": TimeoutOption,
    "kubeconfig": KubeconfigOption,
    "context": ContextOption,
    "namespace": NamespaceOption,
}
_OF_CLUSTER = ("kubeconfig", "context", "namespace")
PROGRAM = "program"
"""Beside the options before a command: the program that heddle is a plug-in of."""


class Session(NamedTuple):
    """What a command works with: the server, and how its results are printed."""

    server: Server
    output: Output


def command(app: typer.Typer, panel: str) -> Callable[[Callable[..., None]], None]:
    """Return a function that makes a function (session, own parameters) a command of `app`.

    The command has the function's name with hyphens, and stands under the heading `panel` in the list of commands.
    """

    def add(function: Callable[..., None]) -> None:
        app.command(function.__name__.replace("_", "-"), rich_help_panel=panel)(with_common_options(function))

    return add


Perform: TypeAlias = Callable[[Callable[..., None], Access, Output, Mapping[str, Any]], None]


def carry_out(function: Callable[..., None], access: Access, output: Output, arguments: Mapping[str, Any]) -> None:
    """Run a command with the server that the options name."""
    with Server(access) as server:
        function(Session(server, output), **arguments)


def with_common_options(function: Callable[..., None], perform: Perform = carry_out) -> Callable[..., None]:
    """Return `function` as typer wants it: no session, and those common options that it does not have itself."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    names = {parameter.name for parameter in own}
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in COMMON.items()
        if name not in names
    ]

    def run(ctx: typer.Context, **arguments: Any) -> None:
        near = {parameter.name: arguments.pop(parameter.name) for parameter in common}
        output, access = resolve((near, ctx.obj or {}), os.environ)
        perform(function, located(access), output, arguments)

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    signature = inspect.Signature([context, *own, *common])
    run.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it, typeshed does not know it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    run.__doc__, run.__name__ = function.__doc__, function.__name__
    return run


def resolve(levels: tuple[Mapping[str, Any], ...], environment: Mapping[str, str]) -> tuple[Output, Access]:
    """Return the output and the access that option values, nearest level first, and the environment ask for.

    Raises Misused for a token given twice on one level and for a file that cannot be read.
    """
    from_environment = {
        "server": environment.get("HEDDLE_SERVER") or None,
        "token": environment.get("HEDDLE_TOKEN") or None,
        "token_file": environment.get("HEDDLE_TOKEN_FILE") or None,
        "ca_file": environment.get("HEDDLE_CA_FILE") or None,
    }
    levels = (*levels, from_environment)

    def nearest(name: str, default: Any) -> Any:
        return next((level[name] for level in levels if level.get(name) is not None), default)

    access = Access(
        server=nearest("server", DEFAULT_SERVER),
        token=_token(levels),
        ca_file=nearest("ca_file", None),
        timeout=nearest("timeout", DEFAULT_TIMEOUT),
        cluster=_cluster(levels),
    )
    return nearest("output", Output.TABLE), access


def _cluster(levels: tuple[Mapping[str, Any], ...]) -> Cluster | None:
    """Return the cluster that is to be asked for controllers; None where a server is named nearer, or neither is."""
    given: dict[str, Any] = {}
    for level in reversed(levels):
        named = {name: level[name] for name in _OF_CLUSTER if level.get(name) is not None}
        if named and level.get("server") is not None:
            raise Misused(f"--server and --{next(iter(named))} are both given; leave one of them out")
        given = {} if level.get("server") is not None else given | named
    program = next((level[PROGRAM] for level in levels if level.get(PROGRAM)), None)
    if program is None or (not given and any(level.get("server") is not None for level in levels)):
        return Cluster(**given) if given else None
    return Cluster(**given, program=program)


def located(access: Access) -> Access:
    """Return an access to the controllers of the cluster that it names, if it names one. Raises as `find`."""
    if access.cluster is None:
        return access
    found = find(access.cluster, access.token, with_authorities=access.ca_file is None)
    first, *others = found.urls
    return access._replace(
        server=first, others=tuple(others), token=found.token, authorities=found.authorities, cluster=None
    )


def _token(levels: tuple[Mapping[str, Any], ...]) -> str | None:
    """Return the token of the nearest level that has one."""
    for level in levels:
        token, file = level.get("token"), level.get("token_file")
        if token is not None and file is not None:
            raise Misused(f"a token and the token file {file} are both given; leave one of them out")
        if file is not None:
            return _checked(_read(Path(file)), f"token file {file}")
        if token is not None:
            return _checked(str(token), "the token given")
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise Misused(f"token file {file}: it is not ASCII text; give the file that holds the token") from error
    except OSError as error:
        raise Misused(f"token file {file}: {error.strerror}; give a file that you can read") from error


def _checked(token: str, source: str) -> str:
    """Return a token that may stand in an HTTP header."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Misused(f"{source} is empty or holds more than one word; a token is one word of ASCII characters")
    return token
