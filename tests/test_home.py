from pathlib import Path

from baseload.home import demo_home, home


def test_the_ledger_is_below_the_users_data_unless_the_environment_says_otherwise():
    assert home({}) == Path.home() / ".local/share/baseload"
    assert home({"BASELOAD_HOME": ""}) == home({})
    assert home({"BASELOAD_HOME": "~/elsewhere"}) == Path.home() / "elsewhere"
    assert demo_home({"BASELOAD_HOME": "/data"}) == Path("/data/demo")
