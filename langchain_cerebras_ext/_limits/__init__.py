"""What stands behind `CerebrasRateLimiter`.

`_buckets` is the arithmetic, `_numbers` says which limits there are, `_learning` reads
them from answers, `_memory` is one process's line of waiters, `_redis` the line that
processes and hosts share (`line.lua` is the arithmetic again, where it must be atomic).
"""
