"""Finds ids of models that are gone, and deprecated parameters, in a code base.

Data goes one way: `_walk` names files, `_source` reads one, a finder of its kind hands
literals with what stands around them to `_judge`, which asks `_evidence` whether they
are about Cerebras and `_facts` whether they are gone. `_fix` and `_reports` take what
`_scan` returns. Finders know no models, and nothing but `_facts` knows the catalog.
"""

from __future__ import annotations

from langchain_cerebras_ext._check._config import CheckConfig, load_config
from langchain_cerebras_ext._check._findings import (
    RULES,
    Edit,
    FailOn,
    Finding,
    Report,
    Unreadable,
)
from langchain_cerebras_ext._check._fix import (
    Change,
    FileChangedError,
    apply_edits,
    plan_changes,
    unified_diff,
    write_change,
)
from langchain_cerebras_ext._check._reports import (
    as_github,
    as_gitlab,
    as_json,
    as_sarif,
)
from langchain_cerebras_ext._check._scan import (
    DEFAULT_WITHIN_DAYS,
    ScanOptions,
    scan,
)

__all__ = [
    "DEFAULT_WITHIN_DAYS",
    "RULES",
    "Change",
    "CheckConfig",
    "Edit",
    "FailOn",
    "FileChangedError",
    "Finding",
    "Report",
    "ScanOptions",
    "Unreadable",
    "apply_edits",
    "as_github",
    "as_gitlab",
    "as_json",
    "as_sarif",
    "load_config",
    "plan_changes",
    "scan",
    "unified_diff",
    "write_change",
]
