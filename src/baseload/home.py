"""Where ledgers stand when nobody says otherwise. Acts (reads the environment).

    ~/.local/share/baseload        the ledger of `baseload serve`
    ~/.local/share/baseload/demo   that of `baseload demo`
    ~/.local/share/baseload/deployments     what `baseload measure` wrote, a file for each deployment
    ~/.local/share/baseload/decision.json   the decision that `baseload decide --save` froze last

`BASELOAD_HOME` names another folder in place of the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of your own ledger."""
    return Path(environment.get("BASELOAD_HOME") or "~/.local/share/baseload").expanduser()


def last_decision(environment: Mapping[str, str] = os.environ) -> Path:
    """The decision that was saved last: what `baseload explain` explains when nothing is asked."""
    return home(environment) / "decision.json"


def measured_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the deployments that you measured."""
    return home(environment) / "deployments"


def demo_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the demo's ledger."""
    return home(environment) / "demo"
