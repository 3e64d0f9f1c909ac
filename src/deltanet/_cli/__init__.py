"""The command line: `jacobian`, `ggn`, `diagonal`, `info`, `check` and `export`.

A command raises what the library raises; `main` alone turns that into one line and a status.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from deltanet import __version__
from deltanet._cli import failures
from deltanet._cli.export import export
from deltanet._cli.info import check, info
from deltanet._cli.jacobian import jacobian
from deltanet._cli.options import expanded, option, typer
from deltanet._cli.sums import diagonal, ggn

COMMANDS = (jacobian, ggn, diagonal, info, check, export)


def main(args: list[str] | None = None) -> None:
    """Run the command line; every failure is one line on standard error and a status."""
    if typer is None:
        failures.say('the command line needs typer and rich: pip install "deltanet[cli]"')
        sys.exit(failures.REFUSED)
    given = sys.argv[1:] if args is None else args
    usage_error: Any = typer.BadParameter.__base__  # of the click in or under typer
    try:
        with failures.ending_on_signals(), failures.noted_warnings():
            status = _app()(given, prog_name="deltanet", standalone_mode=False)
    except usage_error as error:
        failures.say(f"{error.format_message()} See deltanet --help.")
        status = failures.REFUSED
    except (*failures.KNOWN, SystemExit) as error:
        status = failures.ended(error, given)
    sys.exit(status)


def _app() -> Any:
    app = typer.Typer(epilog=failures.STATUSES, pretty_exceptions_enable=False)
    app.callback()(_deltanet)
    for command in COMMANDS:
        app.command()(expanded(command))
    return app


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"deltanet {__version__}")
        raise typer.Exit


def _deltanet(
    version: Annotated[
        bool,
        option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Exact Jacobians of multi-layer perceptrons."""
