"""The price of own capacity per token, on the usage basis. Pure.

An own pool's hour is paid whether it is busy or not. Metering charges each call its share of busy time (the usage
basis), so that calls add up to what the busy machine costs; what is left of the hour is idle, a line of its own on the
bill (the reservation basis).
"""

from __future__ import annotations

from decimal import Decimal

from baseload.capacity.deployment import Deployment
from baseload.catalog.entries import Offer, PriceRow, Rates, Source
from baseload.units import SECONDS_PER_HOUR, per_mtok

OWN = "own"


def own_offer(deployment: Deployment, usd_per_gpu_hour: Decimal, source: Source) -> Offer:
    """An offer `own/<model>` whose rates are the hourly cost over what a full deployment does in that hour.

    Cached prompt tokens are free: they are not read again. Two GPUs at 2.40 USD that write 4,000 tokens/s cost
    4.80 / (4,000 x 3,600) x 10^6 = 0.333333 USD per million output tokens.
    """
    usd_per_second = usd_per_gpu_hour * deployment.gpus / SECONDS_PER_HOUR
    if deployment.saturated is None:
        plateau = Decimal(str(deployment.curve.tokens_per_second(deployment.max_in_flight)))
        rates = Rates(input=Decimal(0), output=per_mtok(usd_per_second / plateau), cache_read=Decimal(0))
    else:
        rates = Rates(
            input=per_mtok(usd_per_second / deployment.saturated.input_tokens_per_second),
            output=per_mtok(usd_per_second / deployment.saturated.output_tokens_per_second),
            cache_read=Decimal(0),
        )
    return Offer(
        provider=OWN,
        model=deployment.model,
        source=source,
        schedule=(PriceRow(rates),),
        name=deployment.name,
        note=f"usage basis: {deployment.gpus} x {deployment.gpu} at {usd_per_gpu_hour} USD per GPU-hour, when full",
    )
