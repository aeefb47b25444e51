"""Know your LLM break-even, then run at it.

    measure -> model -> route -> guard -> verify -> measure ...

The whole flow is four values and three verbs:

    Facts --decide(policy, state)--> Decision --upstream--> Usage --price(offer, when)--> Charge   =>   Call

`Facts` are what is known about a request before it is served, a `Decision` is the routes that may serve it in order,
each with its reason, `Usage` is what it consumed and a `Charge` what that costs on an `Offer`, exact to the
nano-dollar. A `Call` holds them all. Modelled money is a `Range`; every error is a `BaseloadError` with a remedy.

    >>> from datetime import UTC, date, datetime
    >>> from decimal import Decimal
    >>> from baseload.catalog.entries import Precedence, PriceRow, Rates, Source
    >>> sheet = Source("price sheet", Precedence.YOURS, date(2026, 1, 1), "https://acme.example/prices")
    >>> offer = Offer("acme", "large", sheet, (PriceRow(Rates(input=Decimal(3), output=Decimal(15))),))
    >>> price(Usage(input_tokens=1_000, output_tokens=200), offer, datetime(2026, 5, 1, tzinfo=UTC)).nanousd
    6000000

The packages stand in one order, and each imports only what stands before it. First those that think (values in, values
out; no clock, file, socket, environment or chance):

    catalog   what can be bought            capacity  what a deployment can serve
    cost      what it costs                 policy    what the gateway is told
    load      what is asked                 sim       what would happen
    wire      bytes to facts and back       audit     what could have been, and was
                                            plan      what to do

and then those that act: `home`, `settings`, `pricebooks`, `documents`, `child`, `client`, `ledger`, `imports`,
`measure`, `gateway`, `exports`, `console`, `cli`.
"""

from __future__ import annotations

__version__ = "0.1.0"

from baseload.catalog.entries import Offer
from baseload.cost.tokens import Charge, price
from baseload.errors import BaseloadError
from baseload.load.calls import Call, Decision
from baseload.load.facts import Bucket, Facts
from baseload.policy.decide import decide
from baseload.policy.policy import Policy
from baseload.ranges import Range
from baseload.usage import Usage

__all__ = [
    "BaseloadError",
    "Bucket",
    "Call",
    "Charge",
    "Decision",
    "Facts",
    "Offer",
    "Policy",
    "Range",
    "Usage",
    "__version__",
    "decide",
    "price",
]
