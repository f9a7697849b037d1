"""What stands behind `Budget`.

`_options` reads what is given, `_money` counts in whole 1e-12 USD, `_windows` cuts
time, `_account` is the arithmetic. `_memory` keeps the accounts of one process,
`_shared` those that processes and hosts share: `_worker` talks to the store for it,
which is `_sql`, or `_redis` (`book.lua` is the arithmetic again, where it must be
atomic).
"""

from __future__ import annotations
