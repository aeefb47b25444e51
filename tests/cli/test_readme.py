"""The client in the README, run as it stands against what the demo serves."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from baseload.child import Child
from baseload.cli.demo_gateway import Orders
from baseload.cli.scene import bundled_trace, read_scene
from baseload.documents import write_yaml
from baseload.gateway.simulation import simulate

README = Path(__file__).parents[2] / "README.md"
SPEED = 100.0


def test_the_client_in_the_readme_is_answered_by_the_own_pool(tmp_path):
    code = re.search(r"^```py\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[1]
    scene, config = read_scene(), tmp_path / "baseload.yaml"
    with simulate(scene.order(SPEED)) as upstreams:
        place = {"listen": "127.0.0.1:0", "data_dir": str(tmp_path), "speed": SPEED}
        write_yaml(config, scene.settings(upstreams.ready, bundled_trace(), **place))
        with Child("baseload.cli.demo_gateway", Orders(config=str(config), run="")) as gateway:
            told = {"OPENAI_BASE_URL": gateway.ready["url"] + "/v1", "OPENAI_API_KEY": "none-needed"}
            done = subprocess.run(
                [sys.executable, "-c", code], env={**os.environ, **told}, capture_output=True, text=True, timeout=60
            )
    assert done.returncode == 0, done.stderr
    upstream, cost = done.stdout.split()
    assert upstream == "own-pool"
    # 3 tokens in and 20 out on 2 x H100 at 2.40 USD an hour, at the pool's saturated rates.
    assert Decimal("0.000001") < Decimal(cost) < Decimal("0.00001")
