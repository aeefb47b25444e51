"""What holds for every test: no connection leaves the machine, and in CI nothing is skipped.

Two guards stand before the network. The audit hook sees every connect and lookup that goes through CPython's sockets,
in this process, and stops it with a message. On Linux as root the whole run moves into a network namespace of its own
that has nothing but loopback, so that uvloop, C extensions and child processes cannot reach anything either; the
kernel counts what they tried, and the test during which that count rose fails.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class ForeignConnection(Exception):
    """A test tried to reach another machine."""


def _is_local(host: object) -> bool:
    """Whether a name or address stays on this machine. An empty host is a wildcard to bind to."""
    if isinstance(host, bytes):
        host = host.decode()
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_foreign(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook: `socket.connect` and `socket.sendto` carry (socket, address), `socket.getaddrinfo` the host."""
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        _SEEN.append(f"{event} to {host!r}")
        raise ForeignConnection(f"{event} to {host!r}: nothing leaves the machine but to configured upstreams")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _isolate() -> bool:
    """Move this process, and the children it will have, into a network namespace with loopback alone."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    _raise_loopback()
    return True


class Kernel:
    """What the kernel of an isolated run has counted: packets, connects and lookups that found no way out."""

    def __init__(self, *, isolated: bool) -> None:
        self.isolated = isolated

    def attempts(self) -> int:
        """Tries at other machines since the run began, and datagrams to a name server on loopback that is not there."""
        if not self.isolated:
            return 0
        lines = [line.split() for line in Path("/proc/self/net/snmp").read_text().splitlines()]
        counts = {
            names[0] + name: int(value)
            for names, values in zip(lines[::2], lines[1::2], strict=True)
            for name, value in zip(names[1:], values[1:], strict=True)
        }
        counts |= {name: int(value) for name, value in map(str.split, _ipv6_lines())}
        return sum(counts.get(name, 0) for name in ("Ip:OutNoRoutes", "Udp:NoPorts", "Ip6OutNoRoutes", "Udp6NoPorts"))


def _ipv6_lines() -> list[str]:
    table = Path("/proc/self/net/snmp6")
    return table.read_text().splitlines() if table.exists() else []


_KERNEL = pytest.StashKey[Kernel]()
# What the audit hook saw; code that swallows its error is found all the same.
_SEEN: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives Chromium, whose own tries at its maker's hosts are not ours")
    sys.addaudithook(_refuse_foreign)
    config.stash[_KERNEL] = Kernel(isolated=_isolate())
    if config.pluginmanager.hasplugin("hypothesispytest"):
        _seek_cases()


def _seek_cases() -> None:
    """No example fails for being slow on a busy machine; CI looks at the same examples every time."""
    from hypothesis import settings

    settings.register_profile("baseload", deadline=None, derandomize=bool(os.environ.get("CI")))
    settings.load_profile("baseload")


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernel's count of foreign connections; `isolated` says whether there is one."""
    return request.config.stash[_KERNEL]


@pytest.fixture(autouse=True)
def _no_foreign_connection(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[None]:
    _SEEN.clear()
    before = kernel.attempts()
    yield
    tries = kernel.attempts() - before
    if _SEEN:
        pytest.fail(f"this test tried to leave the machine: {', '.join(_SEEN)}")
    if tries and not request.node.get_closest_marker("browser"):
        # Chromium asks for its maker's hosts whatever its switches say: a test that drives it is marked `browser`.
        pytest.fail(f"this test tried to leave the machine: the kernel counted {tries} tries")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _strict((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _strict((yield))


def _strict(report: Report) -> Report:
    """In CI everything that tests need is installed first: a skipped test is one that silently stopped testing."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI does not allow: {reason}"
    return report
