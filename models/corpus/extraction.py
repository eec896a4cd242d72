"""Facts taken out of a sentence into JSON: calendar events above all, then people, orders, bookings.

Under `json_schema` the grammar gives the keys and the model fills in the values, so the keys and their order vary; under `json_object` the
keys are those that the person named, or name, date and participants.
"""

import json

from .talk import Talk
from .toolbox import happening
from .tools import as_typed
from .values import CITIES, FOODS, city, clock, invented, joined, nth, people, person

NAME_KEYS = ["name", "name", "name", "name", "title", "event", "event_name", "what", "summary"]
DATE_KEYS = ["date", "date", "date", "date", "day", "when", "event_date"]
PEOPLE_KEYS = ["participants", "participants", "participants", "people", "attendees", "guests", "who"]
TIME_KEYS = ["time", "time", "start", "at", "hour"]
PLACE_KEYS = ["location", "place", "where", "city", "room"]
PLAIN_ORDERS = ["Extract the event information.", "Extract the event.", "Extract the calendar event.", "Extract event details.", "Extract the event as JSON.", "You extract events from text.", "Turn the text into a calendar event.", "Extract the event information from the message.", "You are a helpful assistant.", "Read the event out of the text.", "Answer with the event as JSON.", "You turn messages into calendar entries.", "Extract the event information. Answer in JSON."]  # fmt: skip
NAMED_ORDERS = ["Extract {keys} as JSON.", "Answer in JSON with the keys {keys}.", "Extract the event as a JSON object with {keys}.", "Return JSON with {keys}.", "Reply with a JSON object: {keys}.", "Give me {keys} of the event as JSON.", "JSON with {keys}, please.", "Output a JSON object that has {keys}."]
PLACES = ["the park", "the office", "room 4", "room 12", "the library", "the town hall", "the school", "the beach", "the museum", "the cafe", "the gym", "the main hall", "the garden", "the old mill", "the station", "the church"]
EVENTS = [
    "{people} are going to {a} {what} {on}{tail}.", "{people} [go|will go|want to go] to {a} {what} {on}{tail}.", "{people} [meet|are meeting|will meet|get together] for {a} {what} {on}{tail}.", "{on_cap} there is {a} {what} with {people}{tail}.", "{people} have {a} {what} {on}{tail}.",
    "There is {a} {what} {on}{tail}. {people} [will be there|are coming|take part].", "The {what} [is|takes place|will be] {on}{tail}, [with|and with us are|guests are] {people}.", "{what_cap} {on} with {people}{tail}", "{on_cap}{tail}: {what} with {people}", "{people}: {what} {on}{tail}.", "We [have|plan] {a} {what} {on}{tail}; {people} are invited.",
    "{a_cap} {what} is planned {on}{tail} for {people}.", "{people} [attend|join|visit|are invited to] the {what} {on}{tail}.", "Don't forget the {what} {on}{tail}, {people} are coming.", "Please note: {what}, {on_bare}{tail}, with {people}.", "I invited {people} to the {what} {on}{tail}.", "{people} will be at the {what} {on}{tail}.",
    "{first} [meets|is meeting|will meet|sees] {rest} for {a} {what} {on}{tail}.", "{first} [meets|joins] {rest} {on}{tail} for {a} {what}.", "{first} [goes|is going|will go] to {a} {what} with {rest} {on}{tail}.", "{first} has invited {rest} to {a} {what} {on}{tail}.", "{on_cap} {people} [will go to|will attend|have|are having|meet for|plan] {a} {what}{tail}[ together|].",
    "{when_cap} [is|we have] {a} {what}{tail}. {people} [come|are coming|will come|will join|join us].", "{when_cap} is the day of the {what}{tail}: {people} [come|are in|go].", "{people} [have arranged|have agreed on|planned|are planning] {a} {what} for {when}{tail}.", "{people} [meet|come together] {on}{tail} for {what}[, as always|, as usual|].", "{people} [are all|all] [coming|going] to the {what} {on}{tail}.", "The {what} {on}{tail} [has|will have] {people} [as guests|in it].",
    "[What a day|Good news|Guess what|Listen]: {people} [have|go to] {a} {what} {on}{tail}!", "{a_cap} {what}, {on_bare}{tail}. [Guests|People|With us]: {people}.",
]  # fmt: skip
ALONE = ["{people} is going to {a} {what} {on}{tail}.", "{people} has {a} {what} {on}{tail}.", "{people} [goes|will go] to {a} {what} {on}{tail}.", "{a_cap} {what} with {people} {on}{tail}.", "I [meet|am meeting] {people} for {a} {what} {on}{tail}."]


def event(talk):
    from .phrases import capital
    from .values import day

    rng = talk.rng
    what, (on, when), names = happening(rng), day(rng), people(rng, rng.choices((1, 2, 3, 4), (18, 52, 22, 8))[0])
    time = clock(rng) if rng.random() < 0.25 else None
    place = (rng.choice(PLACES) if rng.random() < 0.5 else city(rng)) if rng.random() < 0.22 else None
    tail = (" [in|at] {place}" if place in PLACES else " in {place}") if place else ""
    tail = " at {time}" + tail if time and rng.random() < 0.6 else tail + (" at {time}" if time else "")
    article = "an" if what[0] in "aeiou" else "a"
    templates = EVENTS if len(names) > 1 else ALONE
    text = rng.choice(templates).replace("{tail}", tail)
    slots = dict(people=joined(names), a=article, a_cap=capital(article), what=what, what_cap=capital(what), on=on, on_cap=capital(on), on_bare=when, when=when, when_cap=capital(when), first=names[0], rest=joined(names[1:]) if len(names) > 1 else None, time=time, place=place)
    fields = [(rng.choice(NAME_KEYS), what), (rng.choice(DATE_KEYS), when), (rng.choice(PEOPLE_KEYS), names)]
    plain = rng.random() < 0.55 and not time and not place
    if plain:
        fields = [("name", what), ("date", when), ("participants", names)]
    if time and rng.random() < 0.7:
        fields.append((rng.choice(TIME_KEYS), time))
    if place and rng.random() < 0.7:
        fields.append((rng.choice(PLACE_KEYS), place))
    if not plain:
        if rng.random() < 0.4:
            rng.shuffle(fields)
        if len(fields) > 2 and rng.random() < 0.25:
            fields.pop(rng.randrange(len(fields)))
    if when.startswith("the ") and not plain and rng.random() < 0.5 and any(c.isdigit() for c in when):
        digits = int("".join(c for c in when.split()[1] if c.isdigit()))
        fields = [(rng.choice(("day", "day", "day_of_month")), digits) if v == when else (k, v) for k, v in fields]
    ask(talk, text, slots, fields, "event")


def ask(talk, text, slots, fields, subject):
    """The order as a system message, before the sentence, or behind it; then the JSON."""
    rng = talk.rng
    keys = [key for key, _ in fields]
    told = rng.random() < 0.35
    order = rng.choice(NAMED_ORDERS).replace("{keys}", joined(keys) if rng.random() < 0.7 else ", ".join(keys)) if told else rng.choice(PLAIN_ORDERS)
    order = order.replace("event", subject)
    where, exact = rng.random(), rng.random() < 0.55
    used = {k: v for k, v in slots.items() if "{%s}" % k in text and v is not None}
    if where < 0.6:
        talk.system(order)
        said = talk.ask([text], polite=False, exact=exact, **used)
    elif where < 0.8:
        said = talk.ask([f"{order} {text}"], polite=False, exact=exact, **used)
    elif where < 0.9:
        said = talk.ask([f"{text} {order}"], polite=False, exact=exact, **used)
    else:
        said = talk.ask([text], polite=False, exact=exact, **used)
        if told or subject != "event":
            talk.turns.insert(-1, ("system", order))
    talk.reply(json.dumps({key: as_typed(value, said) for key, value in fields}, ensure_ascii=False))


def who(talk):
    rng = talk.rng
    name, age, home, job = person(rng), rng.randint(3, 99), city(rng), rng.choice(("baker", "teacher", "doctor", "painter", "pilot", "farmer", "nurse", "engineer", "cook", "lawyer"))
    if rng.random() < 0.4:
        name += " " + invented(rng)
    text, fields = rng.choice([
        ("{name} is {age} years old and lives in {home}.", [("name", name), ("age", age), ("city", home)]), ("My name is {name}, I am {age} and I live in {home}.", [("name", name), ("age", age), ("city", home)]), ("{name}, {age}, from {home}", [("name", name), ("age", age), ("city", home)]),
        ("{name} is a {job} in {home}.", [("name", name), ("job", job), ("city", home)]), ("{name} works as a {job} and is {age}.", [("name", name), ("job", job), ("age", age)]), ("I am {name}, a {age} year old {job} from {home}.", [("name", name), ("age", age), ("job", job), ("city", home)]),
    ])  # fmt: skip
    if rng.random() < 0.3:
        rng.shuffle(fields)
    ask(talk, text, dict(name=name, age=age, home=home, job=job), fields, "person")


def order(talk):
    rng = talk.rng
    n, dish, name, table = rng.randint(1, 12), rng.choice(FOODS), person(rng), clock(rng)
    text, fields = rng.choice([
        ("[I would like|I'll have|Give me|I want|Please bring] {n} {dish} for {name}.", [("item", dish), ("quantity", n), ("name", name)]), ("{name} orders {n} {dish}.", [("name", name), ("item", dish), ("quantity", n)]), ("{n} {dish} for {name}[, please|]", [("item", dish), ("quantity", n), ("customer", name)]),
        ("A table for {n} at {table}, the name is {name}.", [("name", name), ("people", n), ("time", table)]), ("Please book a table for {n} people at {table} for {name}.", [("name", name), ("people", n), ("time", table)]),
    ])  # fmt: skip
    if rng.random() < 0.3:
        rng.shuffle(fields)
    ask(talk, text, dict(n=n, dish=dish, name=name, table=table), fields, "order" if "item" in dict(fields) else "booking")


def trip(talk):
    rng = talk.rng
    a, b, when = city(rng), city(rng), rng.choice(("Monday", "Friday", "tomorrow", "May " + nth(rng.randint(1, 31)), "next week"))
    ask(talk, rng.choice(("[I fly|I travel|We go|A flight|A train] from {a} to {b} {when}.", "from {a} to {b}, {when}", "{when}: {a} to {b}")), dict(a=a, b=b, when=when), [("from", a), ("to", b), ("date", when)], "trip")


def dialogue(rng):
    talk = Talk(rng)
    rng.choices((event, who, order, trip), (70, 12, 11, 7))[0](talk)
    return talk.turns
