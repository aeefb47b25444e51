"""A port that is ours alone, before and while several processes listen on it. Acts (binds sockets)."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from baseload.errors import AddressTaken, BaseloadError


@contextmanager
def reserved(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Hold an address (port 0: a free one) for processes that will share it, as long as the block runs.

    Sockets are bound to it that do not listen, so it stays ours while workers come and go. Raises AddressTaken.
    """
    with ExitStack() as stack:
        try:
            for family, address, *rest in _addresses(host, port):
                with _socket(family) as trial:  # alone, to find out whether somebody listens there who would share it
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    trial.bind((address, port, *rest))
                holder = stack.enter_context(_socket(family))
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                holder.bind((address, port, *rest))
                port = holder.getsockname()[1]
            stack.enter_context(_alone(host, port))
        except OSError as error:
            raise taken(host, port, error) from error
        yield host, port


def taken(host: str, port: int, error: OSError) -> BaseloadError:
    """The address cannot be had."""
    reason = "it is already in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return AddressTaken(
        f"cannot listen on {host}:{port}: {reason}",
        remedy="Stop what listens there, or set another `listen` in the configuration (port 0: any free one).",
    )


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """Family and address, and what an IPv6 address has besides."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address[0], *address[2:]) for family, _, _, _, address in found))


def _socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


@contextmanager
def _alone(host: str, port: int) -> Iterator[None]:
    """Two gateways that start at the same moment would share the port unasked: an abstract name, in the same network
    namespace, is had by one alone and given back by the kernel."""
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        name.bind(f"\0baseload-{host}-{port}")
        yield
