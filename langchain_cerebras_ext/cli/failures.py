"""How a command ends: its exit codes, and one readable line for an error."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

NO_KEY: Final = (
    "Set CEREBRAS_API_KEY to talk to Cerebras, or add --simulate to try it on a local "
    "simulator."
)


class CommandError(Exception):
    """What the user gave cannot be used; the text says why, and what to do."""


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    from langchain_cerebras_ext.errors import (
        CerebrasConfigurationError,
        CerebrasInvalidRequestError,
    )

    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    ours = (CommandError, CerebrasConfigurationError, CerebrasInvalidRequestError)
    return WRONG_USE if isinstance(error, ours) else FAILED


def explain(error: BaseException) -> str:
    """Return an error as one line."""
    from langchain_cerebras_ext._live import printable
    from langchain_cerebras_ext.errors import CerebrasError, mask_secrets

    text = " ".join(mask_secrets(printable(str(error))).split())
    if isinstance(error, (CerebrasError, CommandError)):
        return text or type(error).__name__
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{told} (--debug shows where)"


@contextmanager
def guard(*, debug: bool, environ: Mapping[str, str] | None = None) -> Generator[None]:
    """Turn errors of a command into one line and an exit code.

    Args:
        debug: Print the traceback as well.
        environ: What the command logs by; default: the environment of this process.

    Raises:
        typer.Exit: With the exit code.
    """
    from langchain_cerebras_ext.cli.logs import command_logging

    try:
        with command_logging(debug=debug, environ=environ):
            yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; nothing is left to say.
        _discard_output()
        raise typer.Exit(FAILED) from None
    except Exception as error:  # noqa: BLE001 - the edge of the program
        if debug:
            traceback.print_exc()
        typer.echo(f"Error: {explain(error)}", err=True)
        raise typer.Exit(exit_code(error)) from None


def prepare_streams() -> None:
    """Let characters that a terminal's encoding lacks be replaced, not fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _discard_output() -> None:
    """Point standard output nowhere, so that the flush at exit does not fail too."""
    with contextlib.suppress(OSError, ValueError):
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
