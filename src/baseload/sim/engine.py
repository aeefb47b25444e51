"""One replica of a serving engine, from event to event. Pure, and plain enough for a compiler.

Between two events (a request comes, a prompt is read, one is finished, memory is full) the steps of an engine differ
only in the tokens of context that they read, which grow by one for each decode: `k` steps from `S` tokens take

    k a + c (k S + B k (k - 1) / 2)

seconds (`capacity/steptime.py`), so any number of them is one sum, and the step in which something comes is the root of
a quadratic. What happens is what `reference.py` does step by step; a test holds the two equal.

Requests are places in columns (`COLUMNS`), a replica is a row of whole numbers, one of fractions and a heap. Both are
indexed and nothing else, so that plain lists and memory views do as well as arrays in compiled code.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence
from typing import NamedTuple

from baseload.capacity.steptime import StepTime, step_seconds

Wholes = MutableSequence[int]
Fractions = MutableSequence[float]

# Where a replica keeps what: whole numbers ...
DONE, CONTEXT, RUNNING, HELD, HEAD, TAIL, READING, READ, TURN = range(9)
"""Decode steps done; tokens of context of all decodes; how many there are; tokens held for the prompt that is being
read; first and last of the queue; the request being read, and how many of its tokens are; the turn of admission."""
STEPS, TOKENS_READ, TOKENS_WRITTEN, PREEMPTIONS, ASSIGNED, FINISHED, MOST_STEPS, MOST_FINISHED = range(9, 17)
"""... and after how many steps, or requests finished, it is to pause: `FOREVER` but in a closed loop."""
WHOLES = 17
FOREVER = 1 << 62
# ... and seconds.
NOW, BUSY = range(2)
FRACTIONS = 2
# A request's place fits below the step in which it finishes: both in one number make a heap of plain integers.
SHIFT = 1 << 32
NONE = -1


class Columns(NamedTuple):
    """Requests by place. The first four are given; the others begin at 0, `first` and `finish` at NaN."""

    arrival: Fractions
    prompt: Wholes
    output: Wholes
    cached: Wholes
    made: Wholes
    turn: Wholes
    after: Wholes
    first: Fractions
    finish: Fractions


def push(heap: Wholes, size: int, key: int) -> None:
    """Put a key on the heap of that size."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if heap[above] <= key:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = key


def pop(heap: Wholes, size: int) -> None:
    """Take the least key, the first, off the heap of that size."""
    last = size - 1
    key = heap[last]
    place, below = 0, 1
    while below < last:
        if below + 1 < last and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= key:
            break
        heap[place] = heap[below]
        place = below
        below = 2 * place + 1
    heap[place] = key


def enqueue(whole: Wholes, after: Wholes, place: int) -> None:
    """A request joins the end of a replica's queue."""
    after[place] = NONE
    whole[ASSIGNED] += 1
    if whole[HEAD] == NONE:
        whole[HEAD] = place
    else:
        after[whole[TAIL]] = place
    whole[TAIL] = place


def make_room(step: StepTime, whole: Wholes, heap: Wholes, columns: Columns) -> None:
    """Preempt until the rest fits into memory."""
    while whole[CONTEXT] + whole[HELD] > step.kv_tokens:
        preempt(whole, heap, columns)


def preempt(whole: Wholes, heap: Wholes, columns: Columns) -> None:
    """The last admitted request goes back to the head of the queue, to be read again with what it has written."""
    if whole[READING] != NONE:
        last = whole[READING]
        whole[READING], whole[HELD] = NONE, 0
    else:
        at = 0
        for place in range(1, whole[RUNNING]):
            if columns.turn[heap[place] % SHIFT] > columns.turn[heap[at] % SHIFT]:
                at = place
        last = heap[at] % SHIFT
        columns.made[last] = columns.output[last] - (heap[at] // SHIFT - whole[DONE])
        whole[CONTEXT] -= columns.prompt[last] + columns.made[last]
        whole[RUNNING] -= 1
        size = whole[RUNNING]
        heap[at] = heap[size]
        for place in range(size):  # rare: the heap is built anew
            push(heap, place, heap[place])
    columns.after[last] = whole[HEAD]
    if whole[HEAD] == NONE:
        whole[TAIL] = last
    whole[HEAD] = last
    whole[PREEMPTIONS] += 1


def advance(
    step: StepTime,
    decode: Fractions,
    whole: Wholes,
    fraction: Fractions,
    heap: Wholes,
    columns: Columns,
    until: float,
) -> None:
    """Run a replica through every step that ends by `until`. `decode` holds the seconds of a step of so many decodes
    without their context."""
    now = fraction[NOW]
    while whole[STEPS] < whole[MOST_STEPS] and whole[FINISHED] < whole[MOST_FINISHED]:
        if whole[RUNNING] == 0 and whole[READING] == NONE:
            head = whole[HEAD]
            if head == NONE or columns.arrival[head] > until:
                break
            now = max(now, columns.arrival[head])
        make_room(step, whole, heap, columns)
        running = whole[RUNNING]
        budget = step.step_tokens - (running if step.mixed else 0)
        tokens, pairs, admitted = 0, 0.0, 0
        if whole[READING] != NONE or (whole[HEAD] != NONE and columns.arrival[whole[HEAD]] <= now):
            tokens, pairs, admitted = plan_reading(step, whole, columns, budget, now)
        if tokens > 0:
            writing = running if step.mixed else 0
            steps = 1
            took = step_seconds(step, writing, float(whole[CONTEXT]) if writing else 0.0, tokens, pairs)
            if now + took > until:
                break
        else:
            writing = running
            steps, took = plan_writing(step, decode, whole, heap, columns, now, until)
            if steps == 0:
                break
        now += took
        fraction[BUSY] += took
        whole[STEPS] += steps
        if writing > 0:
            write(whole, heap, columns, steps, now)
        if tokens > 0:
            whole[TOKENS_READ] += tokens
            read(step, whole, heap, columns, budget, admitted, now)
    fraction[NOW] = now


def plan_reading(step: StepTime, whole: Wholes, columns: Columns, budget: int, now: float) -> tuple[int, float, int]:
    """What the next step reads: the rest of the prompt that was begun, then of the queue what fits. Tokens, pairs of
    tokens, requests to admit."""
    tokens, pairs, admitted = 0, 0.0, 0
    seats = step.most_requests - whole[RUNNING]
    if whole[READING] != NONE:
        tokens = min(whole[HELD] - whole[READ], budget)
        pairs = tokens * (whole[READ] + tokens / 2.0)
        seats -= 1
    room = step.kv_tokens - whole[CONTEXT] - whole[HELD]
    queued = whole[HEAD]
    while queued != NONE and tokens < budget and admitted < seats and columns.arrival[queued] <= now:
        cached = columns.cached[queued]
        context = columns.prompt[queued] + columns.made[queued]
        size = context - cached
        if context > room or (not step.mixed and admitted > 0 and size > budget - tokens):
            break
        if step.mixed:
            size = min(size, budget - tokens)
        tokens += size
        pairs += size * (cached + size / 2.0)
        room -= context
        admitted += 1
        queued = columns.after[queued]
    return tokens, pairs, admitted


def plan_writing(
    step: StepTime, decode: Fractions, whole: Wholes, heap: Wholes, columns: Columns, now: float, until: float
) -> tuple[int, float]:
    """How many steps only write: until a decode is finished, memory is full, a request comes that may be admitted, or
    the time is up. Steps and seconds."""
    running, context, head = whole[RUNNING], whole[CONTEXT], whole[HEAD]
    steps = min(heap[0] // SHIFT - whole[DONE], (step.kv_tokens - context) // running + 1)
    steps = min(steps, whole[MOST_STEPS] - whole[STEPS])
    base = decode[running] + step.context * context
    growth = step.context * running
    if head != NONE and running < step.most_requests and columns.arrival[head] > now:
        comes = columns.arrival[head] - now
        if (steps - 1) * (base + growth * (steps - 2) / 2.0) >= comes:
            steps = min(steps, reaching(base, growth, comes))
    took = steps * (base + growth * (steps - 1) / 2.0)
    if now + took > until:
        steps = reaching(base, growth, until - now)
        took = steps * (base + growth * (steps - 1) / 2.0)
        while steps > 0 and now + took > until:
            steps -= 1
            took = steps * (base + growth * (steps - 1) / 2.0)
    return steps, took


def write(whole: Wholes, heap: Wholes, columns: Columns, steps: int, now: float) -> None:
    """Every decode has written so many tokens more; those that are finished go."""
    running = whole[RUNNING]
    whole[DONE] += steps
    whole[CONTEXT] += steps * running
    whole[TOKENS_WRITTEN] += steps * running
    while whole[RUNNING] > 0 and heap[0] // SHIFT == whole[DONE]:
        place = heap[0] % SHIFT
        pop(heap, whole[RUNNING])
        whole[RUNNING] -= 1
        whole[CONTEXT] -= columns.prompt[place] + columns.output[place]
        whole[FINISHED] += 1
        columns.finish[place] = now


def read(step: StepTime, whole: Wholes, heap: Wholes, columns: Columns, budget: int, admitted: int, now: float) -> None:
    """The step has read a piece of the prompt that was begun, and of the next in the queue; what is whole decodes."""
    left = budget
    begun = whole[READING]
    if begun != NONE:
        piece = min(whole[HELD] - whole[READ], left)
        left -= piece
        whole[READ] += piece
        if whole[READ] == whole[HELD]:
            whole[READING], whole[HELD] = NONE, 0
            answer(whole, heap, columns, begun, now)
    for _ in range(admitted):
        place = whole[HEAD]
        whole[HEAD] = columns.after[place]
        columns.turn[place] = whole[TURN]
        whole[TURN] += 1
        context = columns.prompt[place] + columns.made[place]
        size = context - columns.cached[place]
        if step.mixed and size > left:
            whole[READING], whole[HELD], whole[READ] = place, context, columns.cached[place] + left
            left = 0
        else:
            left -= size
            answer(whole, heap, columns, place, now)


def answer(whole: Wholes, heap: Wholes, columns: Columns, place: int, now: float) -> None:
    """A prompt is read: its request has its next token, and decodes on or is finished."""
    made = columns.made[place] + 1
    whole[TOKENS_WRITTEN] += 1
    if math.isnan(columns.first[place]):
        columns.first[place] = now
    if made == columns.output[place]:
        columns.finish[place] = now
        whole[FINISHED] += 1
        return
    push(heap, whole[RUNNING], (whole[DONE] + columns.output[place] - made) * SHIFT + place)
    whole[RUNNING] += 1
    whole[CONTEXT] += columns.prompt[place] + made


def reaching(base: float, growth: float, seconds: float) -> int:
    """The first whole number of steps that take at least so many seconds: `k base + growth k (k - 1) / 2`.

    >>> reaching(0.01, 0.0, 0.095), reaching(0.01, 0.01, 0.0301)
    (10, 3)
    """
    linear = base - growth / 2.0
    if growth * seconds > 1e-12 * linear * linear:
        root = (math.sqrt(linear * linear + 2.0 * growth * seconds) - linear) / growth
    else:
        root = seconds / base
    steps = max(math.ceil(root), 0)
    while steps > 0 and (steps - 1) * (base + growth * (steps - 2) / 2.0) >= seconds:
        steps -= 1
    while steps * (base + growth * (steps - 1) / 2.0) < seconds:
        steps += 1
    return steps
