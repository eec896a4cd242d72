"""Dialogues with functions: a fitting one is called, its result is told; where none fits, none is called."""

import re

from . import jokes, limits, product, smalltalk, stories
from .talk import Talk
from .tool_list import call, listing, response
from .toolbox import KINDS, anything, arithmetic, calculator

SYSTEMS = [
    "You are a helpful assistant.", "You are a helpful assistant.", "Be concise.", "You are an assistant with tools.", "Use the tools when they help.", "Answer briefly.", "You are a friendly assistant.", "Help the user.",
    "You can call functions.", "You are a helpful assistant. Use tools if needed.", "You are a travel assistant.", "You are an office assistant.",
]  # fmt: skip
CHAT = [(jokes, 4), (smalltalk, 6), (stories, 3), (product, 4)]
FAULTS = ["not found", "timeout", "unknown city", "no such thing", "service unavailable", "permission denied", "try again later", "invalid value"]


def as_typed(value, text):
    """The value as the person wrote it, or as it is where the text does not hold it."""
    if isinstance(value, list):
        return [as_typed(one, text) for one in value]
    found = re.search(re.escape(value), text, re.I) if isinstance(value, str) else None
    return found.group(0) if found else value


def toolbox(rng):
    """A few functions of different kinds with what they answer; no two that do the same."""
    count, made, kinds = rng.choices((1, 2, 3, 4), (30, 34, 24, 12))[0], [], set()
    while len(made) < count:
        kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        sums = {arithmetic, calculator}
        if kind in kinds - {anything} or kind in sums and kinds & sums:
            continue
        tool, request = kind(rng)
        if all(similar(tool, other) < 2 for other, _ in made):
            kinds.add(kind)
            made.append((tool, request))
    return made


def similar(one, other):
    """How many words their names share: too many, and nobody could tell which is meant."""
    if one.name == other.name:
        return 9
    return len(set(one.name.lower().split("_")) & set(other.name.lower().split("_")))


def dialogue(rng):
    talk = Talk(rng)
    made = toolbox(rng)
    talk.system(listing([tool for tool, _ in made], rng.choice(SYSTEMS) if rng.random() < 0.35 else ""))
    last = None
    for _ in range(rng.choices((1, 2, 3), (62, 27, 11))[0]):
        if rng.random() < (0.17 if last is None else 0.25):
            no_call(talk, made)
            last = None
            continue
        tool, request = last if last and rng.random() < 0.6 else made[0] if rng.random() < 0.3 else rng.choice(made)
        if not use(talk, tool, request, later=last is not None and last[0] is tool):
            break
        last = (tool, request)
    return talk.turns


def use(talk, tool, request, later=False):
    """A request, the call, and mostly its result and the answer. False where the dialogue ends with the call."""
    rng = talk.rng
    case = request()
    templates = case.later if later and case.later and rng.random() < 0.6 else case.ask
    slots = {name: value for name, value in case.slots.items() if any("{%s}" % name in t for t in templates)}
    if later is False and "[and|what about|how about|and what about|and the same for] [in |]{where}?" in case.later and rng.random() < 0.06 and len(case.arguments) == 1:
        return two_at_once(talk, tool, case, request())
    text = talk.ask(templates, polite=rng.random() < 0.6, **slots)
    typed = {name: as_typed(value, text) for name, value in case.arguments.items()}
    talk.reply(call(tool.name, typed))
    if rng.random() < 0.3:
        return False
    said = {name: as_typed(value, text) if name in slots else value for name, value in case.slots.items()}
    if rng.random() < 0.06:
        fault = rng.choice(FAULTS)
        talk.turns.append(("user", response(rng.choice((f'{{"error": "{fault}"}}', f"error: {fault}", f"Error: {fault}")))))
        talk.answer([f"Sorry, that did not work: {fault}.", f"That failed: {fault}."])
    else:
        talk.turns.append(("user", response(case.result)))
        talk.answer(case.answers, **said)
    return True


def two_at_once(talk, tool, one, other):
    """One question about two places: two calls, two results, one answer."""
    rng = talk.rng
    (key, first), second = next(iter(one.arguments.items())), next(iter(other.arguments.values()))
    if first == second:
        return True
    what = "weather" if "sky" in one.slots else "time"
    text = talk.ask([f"[what is|what's|tell me] the {what} in {{a}} and [in |]{{b}}[?|]", f"compare the {what} in {{a}} and {{b}}", f"{what} in {{a}} and {{b}}"], polite=False, a=first, b=second)
    first, second = as_typed(first, text), as_typed(second, text)
    talk.reply(call(tool.name, {key: first}) + "\n" + call(tool.name, {key: second}))
    if rng.random() < 0.3:
        return False
    talk.turns.append(("user", response(one.result, other.result)))
    if what == "weather":
        talk.reply(f"In {first} it is {one.slots['degrees']} degrees and {one.slots['sky']}, in {second} {other.slots['degrees']} degrees and {other.slots['sky']}.")
    else:
        talk.reply(f"It is {one.slots['now']} in {first} and {other.slots['now']} in {second}.")
    return True


def no_call(talk, made):
    """A request that none of the functions answers: a usual answer, and no call."""
    rng = talk.rng
    names = " ".join(tool.name + tool.description for tool, _ in made).lower()
    if rng.random() < 0.25:
        kind = rng.choice([k for k in ("know", "write", "weather") if k in limits.KINDS] or list(limits.KINDS))
        blocked = ("weather", "forecast", "time", "clock") + (("search", "look", "find", "translat", "convert", "play", "message", "mail", "timer", "restaurant", "order", "book") if kind != "weather" else ())
        if not any(word in names for word in blocked):
            return limits.refuse(talk, kind)
    group = rng.choices([g for g, _ in CHAT], [w for _, w in CHAT])[0]
    if group is product and any(word in names for word in ("search", "doc", "look", "find")):
        group = jokes
    skill = rng.choices([s[0] for s in group.SKILLS], [s[1] for s in group.SKILLS])[0]
    skill(talk)
