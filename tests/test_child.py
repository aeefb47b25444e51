"""A child says when it is ready, and ends with its parent however that ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from baseload.child import Child
from baseload.errors import ChildFailed
from baseload.gateway.simulation import Order, SimulatedUpstream, simulate

ORDER = Order(upstreams=(SimulatedUpstream(name="a", model="m"),))


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_gone_after_the_with_block():
    with simulate(ORDER) as child:
        assert child.alive
        assert child.ready["a"] > 0
    assert not child.alive


def test_it_dies_with_a_parent_that_is_killed():
    script = (
        "from baseload.gateway.simulation import Order, SimulatedUpstream, simulate\n"
        "import time\n"
        "child = simulate(Order(upstreams=(SimulatedUpstream(name='a', model='m'),)))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(pid)


@pytest.mark.parametrize("module", ["baseload.no_such_module", "baseload.gateway.simulation"])
def test_one_that_cannot_start_says_so(module, capfd):
    with pytest.raises(ChildFailed, match="did not start"):
        Child(module, {"upstreams": "none"})
    assert capfd.readouterr().err


def test_one_that_is_never_told_what_to_do_leaves_quietly():
    done = subprocess.run(
        [sys.executable, "-m", "baseload.gateway.simulation"], input=b"", capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
