"""What machines cost in the articles: hours, boxes, purchases, power and the hidden stack. Pure."""

from __future__ import annotations

from decimal import Decimal

from baseload.catalog.entries import LeaseKind
from baseload.cost.bill import Bill
from baseload.cost.hours import electricity, lease_month
from baseload.plan.articles_figures import MARKET, Books, Figure, Ours, Recipe, Value, ends, short, spread
from baseload.plan.options import Machines, Volume, machine_option, operations
from baseload.ranges import Range, total
from baseload.units import HOURS_PER_DAY, HOURS_PER_MONTH, MONTHS_PER_YEAR, WATTS_PER_KILOWATT, nanousd


def box_row(figure: Figure, books: Books) -> Ours:
    """A row of the table of boxes: rented, owned, and the rent of one GPU-hour behind it."""
    gpu, count = figure.text("gpu"), int(figure.number("count"))
    cloud, own = books.month("article-0", gpu, "rented", count), books.month("article-0", gpu, "owned", count)
    hourly = cloud / count / HOURS_PER_MONTH
    share = own.high / cloud.high
    return Ours(
        {"cloud": ends(cloud), "onprem": ends(own), "gpu": gpu, "count": Decimal(count)},
        f"the book of leases; {spread(ends(hourly))} USD a GPU-hour, owned is {share:.0%} of rented",
    )


def box_month(figure: Figure, books: Books) -> Ours:
    """The month of one box."""
    gpu, kind, count = figure.text("gpu"), figure.text("lease"), int(figure.number("count"))
    month = books.month(figure.text("book"), gpu, kind, count)
    ours: Value = month.low if month.is_exact else ends(month)
    hourly = month / count / HOURS_PER_MONTH
    return Ours(ours, f"{kind} {count} x {gpu}: {spread(ends(hourly), 3)} USD a GPU-hour over {HOURS_PER_MONTH} hours")


def box_union(figure: Figure, books: Books) -> Ours:
    """From the low end owned to the high end rented, as the article's list has it."""
    gpu, count = figure.text("gpu"), int(figure.number("count"))
    owned, rented = books.month("article-0", gpu, "owned", count), books.month("article-0", gpu, "rented", count)
    return Ours(
        (owned.low, rented.high), f"owned from {owned.low}, rented up to {rented.high}; rented alone from {rented.low}"
    )


def servers(_: Figure, books: Books) -> Ours:
    """The cheapest to the dearest box of the article's table, rented."""
    months = [
        lease.usd_per_month
        for gpu in ("a100-40gb", "a100-80gb")
        for lease in books.catalog.leases(gpu)
        if lease.source.book == "article-0" and lease.kind is LeaseKind.RENTED and lease.usd_per_month is not None
    ]
    low, high = min(month.low for month in months), max(month.high for month in months)
    return Ours((low, high), f"the cheapest to the dearest of {len(months)} rented boxes")


def hidden_line(figure: Figure, books: Books) -> Ours:
    """One line of the hidden stack."""
    line = books.owned.by_component()[figure.text("component")]
    return Ours(ends(line), f"`{figure.text('component')}` of the hidden stack, an owner's")


def hidden_total(_: Figure, books: Books) -> Ours:
    """The sum of the hidden stack, which leaves out the GPU row that stands in the same table."""
    month = books.owned.total
    with_box = month + Range.between(*_servers(books))
    return Ours(
        ends(month),
        f"sum of {len(books.owned.lines)} lines; with the GPU servers {spread(ends(with_box), 0)}, rented without "
        f"electricity {spread(ends(books.rented.total), 0)}",
    )


def _servers(books: Books) -> tuple[Decimal, Decimal]:
    match servers(books.figures["A0-C01"], books).value:
        case (Decimal() as low, Decimal() as high):
            return low, high
        case _:
            return Decimal(0), Decimal(0)


def overhead(figure: Figure, books: Books) -> Ours:
    """The flat sum that the article adds to a quote, as the line it is on a bill."""
    quote = Machines(
        "quote", Range.exact(1), Decimal(1), "quote", operations=operations(Range.exact(figure.number("usd")))
    )
    option = machine_option(Volume(Decimal(1), Decimal(0)), quote, "rented")
    added = total(line.amount for line in option.bill.lines if line.component != "GPU lease")
    return Ours(
        added.likely, f"a line beside the lease; the hidden stack itself is {spread(ends(books.rented.total), 0)}"
    )


def idle_is_paid(figure: Figure, books: Books) -> Ours:
    """Whether the month of a machine is the same at any load that it carries."""
    month = books.month("article-0", figure.text("gpu"))
    machine = Machines("box", month, figure.number("capacity"), "box")
    months = {
        machine_option(Volume(machine.capacity * share, Decimal(0)), machine, "rented").usd_per_month
        for share in (Decimal("0.01"), Decimal("0.5"), Decimal(1))
    }
    return Ours(
        "holds" if len(months) == 1 else "does not hold",
        f"the bill at 1 %, 50 % and 100 % load: {spread(ends(month), 0)} USD",
    )


def hour_rate(figure: Figure, books: Books) -> Ours:
    """USD a GPU-hour."""
    rate = books.rent(figure.text("book"), figure.text("gpu"), figure.text("lease"), saying=figure.text("saying"))
    beside = "".join(
        f"; {each.source.book} has {spread(ends(each.usd_per_gpu_hour))}"
        for each in books.catalog.leases(figure.text("gpu"))
        if (each.source.book, each.kind) == (MARKET, figure.text("lease")) and each.usd_per_gpu_hour is not None
    )
    return Ours(rate.low if rate.is_exact else ends(rate), f"{figure.text('lease')} {figure.text('gpu')}{beside}")


def hour_rates(figure: Figure, books: Books) -> Ours:
    """USD a GPU-hour by where it is rented."""
    gpu, book = figure.text("gpu"), figure.text("book")
    found: dict[str, Value] = {}
    for name, saying in zip(figure.words("names"), figure.words("sayings"), strict=True):
        rate = books.rent(book, gpu, saying=saying)
        found[name] = rate.low if rate.is_exact else ends(rate)
    return Ours(found, f"rented {gpu}, told apart by where")


def year_of_hours(figure: Figure, books: Books) -> Ours:
    """A year of a machine that is switched on for a share of the hours, and one that never is off."""
    rate = books.rent(figure.text("book"), figure.text("gpu"), "spot")
    on = HOURS_PER_MONTH * figure.number("hours_on_share")
    year = lease_month(rate, 1, hours_on=on).amount.likely * MONTHS_PER_YEAR
    always = lease_month(rate, 1).amount.likely * MONTHS_PER_YEAR
    return Ours(
        year,
        f"{rate.likely} USD/h x {on.normalize():f} h x {MONTHS_PER_YEAR}; the share is of hours paid. Rented around "
        f"the clock at that load it is {short(always)}: rent is not multiplied by utilisation",
    )


def node_hour(figure: Figure, books: Books) -> Ours:
    """An hour of a node."""
    count = int(figure.number("count"))
    rate = books.rent(figure.text("book"), figure.text("gpu"), saying=figure.text("saying"))
    line = lease_month(rate, count, hours_on=1)
    return Ours(ends(line.amount), line.how)


def node_month(figure: Figure, books: Books) -> Ours:
    """A month of a node around the clock."""
    count = int(figure.number("count"))
    rate = books.rent(figure.text("book"), figure.text("gpu"), saying=figure.text("saying"))
    line = lease_month(rate, count)
    days = lease_month(rate, count, hours_on=books.days_per_month * HOURS_PER_DAY).amount
    return Ours(ends(line.amount), f"{line.how}; a month of {books.days_per_month} days is {spread(ends(days), 0)}")


def card_price(figure: Figure, books: Books) -> Ours:
    """USD a card."""
    bought = books.purchase(figure.text("book"), figure.text("gpu"))
    return Ours(bought.low if bought.is_exact else ends(bought), f"purchase price of {figure.text('gpu')}")


def node_price(figure: Figure, books: Books) -> Ours:
    """USD for all cards of a node."""
    count = int(figure.number("count"))
    cards = books.purchase(figure.text("book"), figure.text("gpu")) * count
    return Ours(ends(cards), f"{count} cards; chassis, network, cooling and rack come on top")


def node_power(figure: Figure, books: Books) -> Ours:
    """Watts of a card, kilowatts of a node's cards."""
    machine = books.catalog.machine(figure.text("machine"))
    cards = machine.watts * machine.count / WATTS_PER_KILOWATT
    low, high = figure.pair("node_kw")
    return Ours(
        {"card_w": machine.watts, "cards_kw": cards},
        f"{machine.count} x {machine.watts} W; the node's {low} to {high} kW leave "
        f"{spread((low - cards, high - cards), 1)} kW for the rest of it",
    )


def node_electricity(figure: Figure, _: Books) -> Ours:
    """A month of a node's power at a commercial tariff, without and with the facility's overhead."""
    low, high = figure.pair("node_kw")
    watts = Range.between(low * WATTS_PER_KILOWATT, high * WATTS_PER_KILOWATT)
    tariff, pue = figure.number("usd_per_kwh"), figure.number("pue")
    bare = electricity(watts, Range.exact(tariff))
    cooled = electricity(watts, Range.exact(tariff), overhead=pue)
    stated_low, stated_high = figure.pair("stated")
    hours = HOURS_PER_MONTH
    implied = (stated_low / (low * hours), stated_high / (high * hours))
    return Ours(
        {"at_tariff": ends(bare.amount), "with_pue": ends(cooled.amount), "implied_usd_per_kwh": implied},
        f"{bare.how}; times {pue} for the facility",
        "another tariff: the article's sum needs the implied one, or counts cooling that it says it leaves out",
    )


def overhead_multiple(_: Figure, books: Books) -> Ours:
    """What the hidden stack makes of a rent, from article 0's dearest box to its cheapest."""
    low, high = _servers(books)

    def multiples(stack: Bill) -> tuple[Decimal, Decimal]:
        return (high + stack.total.high) / high, (low + stack.total.low) / low

    return Ours(
        {"rented": multiples(books.rented), "owned": multiples(books.owned)},
        f"(box + hidden stack) / box at {short(high)} and at {short(low)} USD a month",
        "overhead is fixed: as a multiple it shrinks with the fleet, so it is a sum and a part for each machine",
    )


def night(figure: Figure, books: Books) -> Ours:
    """What is paid for nothing at a low load: of a rent, and of the electricity at full load."""
    load, idle = figure.number("load"), books.idle_power_share
    drawn = idle + (1 - idle) * load
    return Ours(
        {"rent_idle": 1 - load, "power_drawn": drawn, "power_for_nothing": drawn - load},
        f"power is {idle:.0%} idle and rises with load: at {load:.0%} it is {drawn:.1%} of full load",
        "true of the rent; power falls with load, so far less electricity is wasted than hours",
    )


def hours_needed(figure: Figure, books: Books) -> Ours:
    """Whether a lease costs in step with the hours that it is on."""
    month = books.month(figure.text("book"), figure.text("gpu")) / HOURS_PER_MONTH
    full = lease_month(month, 1).amount
    # To the nano-dollar: the rent of an hour is a fraction without end.
    holds = all(
        nanousd(lease_month(month, 1, hours_on=HOURS_PER_MONTH * share).amount.likely) == nanousd(full.likely * share)
        for share in (Decimal("0.1"), Decimal("0.25"), Decimal("0.5"))
    )
    half = lease_month(month, 1, hours_on=HOURS_PER_MONTH / Decimal(2)).amount
    return Ours(
        "holds" if holds else "does not hold", f"half the hours cost {short(half.likely)} of {short(full.likely)} USD"
    )


RECIPES: dict[str, Recipe] = {
    **{f"A0-G{number:02}": box_row for number in range(1, 6)},
    **{f"A0-C{number:02}": hidden_line for number in range(2, 7)},
    "A0-C01": servers,
    "A0-C07": hidden_total,
    "A0-C08": overhead,
    "A0-C09": idle_is_paid,
    **dict.fromkeys(("A0-A2", "A0-B2", "A0-Cc3", "A0-Cc4", "A4-02"), box_month),
    "A0-T1": box_union,
    **dict.fromkeys(("A1-01", "A3-01", "A3-03", "A3-04"), hour_rate),
    "A3-02": hour_rates,
    "A1-02": year_of_hours,
    "A1-03": overhead_multiple,
    "A1-14": night,
    "A3-05": node_hour,
    "A3-06": node_month,
    **dict.fromkeys(("A3-07", "A3-08", "A3-09"), card_price),
    "A3-10": node_price,
    "A3-11": node_power,
    "A3-12": node_electricity,
    "A4-10": hours_needed,
}
