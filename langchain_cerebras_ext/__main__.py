"""The command `cerebras-ext`, also as `python -m langchain_cerebras_ext`."""

from __future__ import annotations

import sys

from langchain_cerebras_ext.cli.extras import missing_line


def main(args: list[str] | None = None) -> int:
    """Run the command.

    Args:
        args: What follows the command's name; default: that of this process.

    Returns:
        The exit code: 0 if all went well, 1 for a failure, 2 for wrong use or
        configuration (a missing extra too), 130 after Ctrl-C.
    """
    given = sys.argv[1:] if args is None else args
    line = missing_line("demo" if "demo" in given else "cli")
    if line is not None:
        print(line, file=sys.stderr)  # noqa: T201 - typer is what is missing
        return 2
    from langchain_cerebras_ext.cli.main import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
