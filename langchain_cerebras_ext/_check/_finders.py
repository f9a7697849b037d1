"""Which finder reads which kind of file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext._check._data import find_data
from langchain_cerebras_ext._check._javascript import find_javascript
from langchain_cerebras_ext._check._lines import find_lines
from langchain_cerebras_ext._check._markdown import find_markdown
from langchain_cerebras_ext._check._notebook import find_notebook
from langchain_cerebras_ext._check._python import find_python
from langchain_cerebras_ext._check._shell import find_shell

if TYPE_CHECKING:
    from langchain_cerebras_ext._check._hits import Watch
    from langchain_cerebras_ext._check._kinds import Kind
    from langchain_cerebras_ext._check._place import Found


def find(kind: Kind, source: bytes, watch: Watch) -> Found:
    """Return what code of a kind mentions.

    What cannot be read as its kind has a `problem`; where nothing at all can be made
    of it, it has no mentions either.

    Args:
        kind: The kind.
        source: The code, in UTF-8.
        watch: What to look for.
    """
    match kind:
        case "python":
            return find_python(source, watch)
        case "notebook":
            return find_notebook(source, watch, find)
        case "json" | "yaml" | "toml":
            return find_data(source, watch, kind)
        case "tsx" | "typescript":
            return find_javascript(source, watch, kind)
        case "shell":
            return find_shell(source, watch)
        case "markdown":
            return find_markdown(source, watch, find)
        case "ini":
            return find_lines(source, watch, paragraphs=False)
        case "env" | "docker" | "lines":
            return find_lines(source, watch)


def find_as_text(source: bytes, watch: Watch) -> Found:
    """Return what a broken file mentions, where its lines have structure."""
    return find_lines(source, watch, broken=True)
