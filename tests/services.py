"""Real servers and programs that some tests need, and what is said where they are not.

A person without them sees the tests skipped, each with the line that installs what is
missing. Where `CEREBRAS_EXT_SERVICES=required` is set, as in CI, they fail instead.
"""

from __future__ import annotations

import os

import pytest


def missing(text):
    """End a test for want of a program.

    Args:
        text: What was not tested, and how to install what it needs.
    """
    if os.environ.get("CEREBRAS_EXT_SERVICES") == "required":
        pytest.fail(text)
    pytest.skip(text)
