"""What stands behind `Budget`.

`_money` counts in whole 1e-12 USD, `_windows` cuts time, `_account` is the arithmetic,
`_memory` keeps the accounts of one process, `_worker` talks to a store that processes
and hosts share: `_sql`, or `_redis` (`book.lua` is the arithmetic again, where it must
be atomic).
"""

from __future__ import annotations
