"""Where the proxy listens."""

import socket

import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.place import address, listen


def test_a_free_port_is_taken_and_told():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert address(sock) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


def test_answers_do_not_wait_for_acknowledgements():
    with listen("localhost", 0) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_two_colons_are_all_addresses_of_both_kinds():
    with listen("[::]", 0) as sock:
        port = sock.getsockname()[1]
        assert address(sock) == f"http://[::]:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        socket.create_connection(("::1", port)).close()


def test_a_port_that_is_taken_is_told_with_the_setting():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(CerebrasConfigurationError) as caught:
            listen("127.0.0.1", port, named="APE_METRICS_PORT")
    told = str(caught.value)
    assert told.startswith(f"The proxy cannot listen at 127.0.0.1:{port}: ")
    assert "Set APE_METRICS_PORT to another port" in told


def test_what_is_no_address_of_this_machine_is_told(monkeypatch):
    with pytest.raises(CerebrasConfigurationError) as caught:
        listen("203.0.113.7", 0)
    assert str(caught.value) == "HOST='203.0.113.7' is no address of this machine."

    def nobody_knows(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    with pytest.raises(CerebrasConfigurationError, match="HOST='no-such-host'"):
        listen("no-such-host", 0)
