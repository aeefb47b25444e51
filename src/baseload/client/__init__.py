"""A typed client of the gateway: five tasks, each with its cost. Acts (asks the gateway).

from baseload.client import Baseload

with Baseload() as baseload:
    kind = baseload.classify("Where is my parcel?", ["order", "complaint", "other"])
    print(kind.value, kind.cost_usd, kind.model)
"""

from baseload.client.client import AsyncBaseload, Baseload
from baseload.client.result import BadAnswer, Result

__all__ = ["AsyncBaseload", "BadAnswer", "Baseload", "Result"]
