"""What `costs.ledger` is made of. Loaded when a ledger is opened: needs SQLAlchemy."""

from __future__ import annotations
