"""TLS contexts: one per process and setting, since each costs some 25 ms."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    import ssl

    from langchain_cerebras_ext._http._route import Environment

_Key = tuple[bool | str, str | None, str | None]


class TlsContexts:
    """Makes contexts, and keeps them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[_Key, ssl.SSLContext] = {}

    def get(self, verify: bool | str, environment: Environment) -> ssl.SSLContext:
        """Return the context for a setting.

        A path in `verify` wins, then `SSL_CERT_FILE` and `SSL_CERT_DIR`, then
        certifi's bundle if it is installed, then the system's.

        Raises:
            CerebrasConfigurationError: A bundle cannot be read.
        """
        key = (verify, environment.ca_file, environment.ca_dir)
        with self._lock:
            context = self._made.get(key)
            if context is None:
                context = self._made[key] = _build(*key)
            return context

    def reset_lock(self) -> None:
        """Take a new lock, after a fork that may have copied a held one."""
        self._lock = threading.Lock()


def _build(
    verify: bool | str, ca_file: str | None, ca_dir: str | None
) -> ssl.SSLContext:
    import ssl

    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        source = "verify=..."
        if verify is not True:
            is_dir = os.path.isdir(verify)  # noqa: PTH112 (a path as the user gave it)
            ca_file, ca_dir = (None, verify) if is_dir else (verify, None)
        elif ca_file or ca_dir:
            source = "SSL_CERT_FILE or SSL_CERT_DIR"
        else:
            ca_file = _certifi()
        try:
            context = ssl.create_default_context(cafile=ca_file, capath=ca_dir)
        except OSError as error:
            msg = (
                f"The certificate authorities in '{ca_file or ca_dir}' cannot be read "
                f"({error}). Check {source}."
            )
            raise CerebrasConfigurationError(msg) from error
    # Some builds of Python leave the floor to the system's configuration.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _certifi() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
