"""Answers that are thought about first: sums in steps, stories planned, what is asked put into words.

The template opens the thinking where it is turned on, so `<think>` and the line break behind it are never learnt, and an answer without
them is never one with.
"""

import re

from . import basics, jokes, limits, product, smalltalk, stories, sums, tools
from .phrases import article, say
from .talk import Talk

NAMES = sums.NAMES


def thought(thinking, answer):
    return f"<think>\n{thinking}\n</think>\n\n{answer}"


def steps(a, sign, b):
    """The sum in steps that are easy each, and its result."""
    if sign == "+":
        if max(a, b) < 10 or min(a, b) == 0:
            return f"{a} + {b} = {a + b}.", a + b
        parts, total = [], 0
        for unit in (100, 10, 1):
            x, y = a // unit % 10 * unit, b // unit % 10 * unit
            if x or y:
                parts.append((f"{x} + {y} = {x + y}", x + y))
        text, total = "; ".join(p for p, _ in parts) + ".", parts[0][1]
        for _, part in parts[1:]:
            text += f" {total} + {part} = {total + part}."
            total += part
        return text, total
    if sign == "-":
        if b < 10 or a < b:
            return f"{a} - {b} = {a - b}.", a - b
        text, left = [], a
        for unit in (100, 10, 1):
            part = b // unit % 10 * unit
            if part:
                text.append(f"{left} - {part} = {left - part}.")
                left -= part
        return " ".join(text), left
    if sign == "*":
        if max(a, b) <= 12:
            return f"{a} × {b} = {a * b}.", a * b
        a, b = max(a, b), min(a, b)
        parts, total = [], 0
        for unit in (100, 10, 1):
            part = a // unit % 10 * unit
            if part:
                parts.append((f"{part} × {b} = {part * b}", part * b))
        text, total = "; ".join(p for p, _ in parts) + ".", parts[0][1]
        for _, part in parts[1:]:
            text += f" {total} + {part} = {total + part}."
            total += part
        return text, total
    return f"{b} × {a // b} = {a}, so {a} ÷ {b} = {a // b}.", a // b


def draw(rng):
    sign = rng.choices("+-*/", (9, 8, 6, 2))[0]
    if sign == "+":
        return rng.randint(1, 99) if rng.random() < 0.6 else rng.randint(100, 799), sign, rng.randint(1, 99) if rng.random() < 0.7 else rng.randint(100, 199)
    if sign == "-":
        a = rng.randint(5, 99) if rng.random() < 0.6 else rng.randint(100, 999)
        return a, sign, rng.randint(1, a)
    if sign == "*":
        return (rng.randint(2, 12), sign, rng.randint(2, 12)) if rng.random() < 0.5 else (rng.randint(13, 99), sign, rng.randint(2, 9))
    b, c = rng.randint(2, 12), rng.randint(2, 12)
    return b * c, sign, b


def sum_(talk):
    rng = talk.rng
    a, sign, b = draw(rng)
    text = say(rng, sums.FRAMES, s=sums.spelled(rng, a, sign, b))
    if rng.random() < 0.25:
        text = say(rng, sums.ORDERS[sign], a=a, b=b)
    talk.ask([text], keep=[text], polite=rng.random() < 0.5)
    how, result = steps(a, sign, b)
    lead = rng.choice(("", "", f"I need {a} {sums.shown(sign)} {b}. ", "Step by step: "))
    talk.reply(thought(lead + how, rng.choice((f"{a} {sums.shown(sign)} {b} = {result}.", f"{a} {sums.shown(sign)} {b} = {result}.", f"The answer is {result}."))))


def three(talk):
    rng = talk.rng
    a, b, c = rng.randint(1, 60), rng.randint(1, 60), rng.randint(1, 40)
    one, two = rng.choice("+-"), rng.choice("+-")
    mid = a + b if one == "+" else a - b
    end = mid + c if two == "+" else mid - c
    if mid < 0 or end < 0:
        return sum_(talk)
    text = say(rng, sums.FRAMES, s=rng.choice((f"{a} {one} {b} {two} {c}", f"{a}{one}{b}{two}{c}")))
    talk.ask([text], keep=[text], polite=False)
    talk.reply(thought(f"From left to right: {a} {one} {b} = {mid}. {mid} {two} {c} = {end}.", f"{a} {one} {b} {two} {c} = {end}."))


def problem(talk):
    rng = talk.rng
    thing, who, other = rng.choice(sums.THINGS), rng.choice(NAMES), rng.choice(NAMES)
    dice = rng.random()
    if dice < 0.3:
        a, b = rng.randint(1, 60), rng.randint(1, 60)
        asks = ["{w} has {a} {t} and [gets|buys|finds] {b} more. How many {t} does {w} have?", "I have {a} {t} and [get|buy|find] {b} more. How many [{t} |]do I have?", "there are {a} {t} in one box and {b} in another, how many are there [in all|together|]?", "{w} has {a} {t} and {o} has {b}. How many do they have together?", "{w} [owns|keeps|has got] {a} {t} and [is given|receives|finds] {b} more, how many [are that|{t} are there] now?", "{a} {t} lie on the table and {b} come to them. How many is that?"]
        think, sign, result = "It becomes more, so I add.", "+", a + b
    elif dice < 0.6:
        a = rng.randint(5, 90)
        b = rng.randint(1, a)
        asks = ["{w} has {a} {t} and [gives away|loses|sells|eats] {b}. How many are left?", "I have {a} {t} and [eat|lose|give away|sell] {b}. How many [{t} |]are left?", "there are {a} {t}, {b} of them [break|disappear|are taken]. How many [are left|remain]?", "{w} has {a} {t}, {o} has {b} fewer. How many has {o}?"]
        think, sign, result = "It becomes less, so I subtract.", "-", a - b
    elif dice < 0.82:
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        asks = ["[I have|there are] {a} boxes with {b} {t} each. How many {t} [is that|are there]?", "{w} buys {a} bags of {b} {t}. How many {t} [does {w} have|is that]?", "{a} children have {b} {t} each, how many {t} is that?", "[we have|I see|there are] {a} boxes, and {b} {t} are in [each|every one]. How many {t} are there?", "{b} {t} lie in each of {a} boxes. How many is that?"]
        think, sign, result = "The same number many times, so I multiply.", "*", a * b
    else:
        b, c = rng.randint(2, 12), rng.randint(2, 12)
        a, sign, result = b * c, "/", c
        asks = ["{a} {t} are shared by {b} children. How many does each get?", "{w} puts {a} {t} into {b} boxes equally. How many are in each?"]
        think = "They are shared equally, so I divide."
    talk.ask(asks, polite=False, a=a, b=b, t=thing, w=who, o=other if other != who else "Uwe")
    how, _ = steps(a, sign, b)
    talk.reply(thought(f"{think} {how}", rng.choice((f"{a} {sums.shown(sign)} {b} = {result}, so the answer is {result} {thing}.", f"{result} {thing}.", f"The answer is {result} {thing}."))))


def bigger(talk):
    rng = talk.rng
    a, b = rng.sample(range(1, 400), 2)
    talk.ask([f"[which is|which number is|what is] [bigger|larger|greater|more][, |: | ]{a} or {b}?", f"{a} or {b}, which is [bigger|larger|greater]?", f"which of [the two|these two|them] is [bigger|greater|more], {a} or {b}?", f"[compare|look at] {a} and {b}: which is [bigger|larger|more]?"], keep=[a, b])
    talk.reply(thought(f"I compare {a} and {b}: {max(a, b)} - {min(a, b)} = {abs(a - b)}, so {max(a, b)} is more.", f"{max(a, b)} is bigger than {min(a, b)}."))


def story(talk):
    """A plan, then the story."""
    rng = talk.rng
    if rng.random() < 0.6:
        stories.story_about(talk)
    else:
        stories.story(talk)
    text = talk.turns[-1][1]
    first = text.split(". ")[0]
    hero = next((h.replace("-", " ") for h in stories.HEROES if f" {h.replace('-', ' ')} " in first), None)
    place = re.search(r"\b(?:near|At|beside|close to) (an? [\w-]+)", first)
    name = next((w.strip(".,") for w in first.split() if w.strip(".,") in stories.PROPER), None)
    plan = ["They want a story."]
    if hero:
        plan.append(f"The hero is {article(hero)}{' called ' + name if name else ''}.")
    if place:
        plan.append(f"It happens near {place.group(1)}.")
    plan.append(rng.choice(("First a beginning, then some trouble, then a good end.", "It needs a beginning, trouble and a good end.")))
    rethink(talk, " ".join(plan))


def rethink(talk, thinking):
    """Puts thinking before the answer that was made last."""
    role, text = talk.turns.pop()
    talk.turns.append((role, thought(thinking, text)))


PLANS = {
    jokes: ["They want something funny. I know one that fits.", "A joke is asked for. I tell one that I know.", "Something to laugh about. One comes to mind."],
    product: ["This is about Tokenmill. I know the answer.", "A question about Tokenmill or about me. I answer it briefly.", "They want to know something about the program. I say what I know."],
    smalltalk: ["This is small talk. I answer in a friendly way.", "They are just chatting. I am kind and brief.", "A friendly word. I give one back."],
    basics: ["A small thing that I know. I just answer it.", "I know this one. I give the answer.", "That is simple. I answer."],
    limits: ["I do not know such things. I should say so.", "This is beyond what I can do. I say so honestly.", "I cannot do that. I say it and offer what I can do."],
}  # fmt: skip


def plain(talk):
    rng = talk.rng
    group = rng.choices(list(PLANS), (4, 6, 4, 4, 4))[0]
    skill = rng.choices([s[0] for s in group.SKILLS], [s[1] for s in group.SKILLS])[0]
    skill(talk)
    rethink(talk, rng.choice(PLANS[group]))


def with_tools(talk):
    """A function chosen by thinking."""
    rng = talk.rng
    turns = tools.dialogue(rng)
    for at, (role, text) in enumerate(turns):
        if role == "assistant" and text.startswith("<tool_call>"):
            name = text.split('"')[3]
            turns = turns[: at + 1]
            turns[at] = (role, thought(rng.choice((f"The function {name} fits. I call it.", f"{name} can answer this.", f"I need {name} for that.")), text))
            break
        if role == "assistant":
            turns = turns[: at + 1]
            turns[at] = (role, thought(rng.choice(("None of the functions is for this. I answer myself.", "No function fits, so I just answer.")), text))
            break
    talk.turns = turns


SKILLS = [(sum_, 30), (three, 7), (problem, 14), (bigger, 3), (story, 10), (plain, 20), (with_tools, 12)]


def dialogue(rng):
    """One exchange with thinking, now and then after one or two without (earlier thinking is not shown again)."""
    talk = Talk(rng)
    if rng.random() < 0.25:
        talk.system(rng.choice(("You are a helpful assistant.", "Be concise.", "You are a maths tutor.", "Think carefully.", "Answer briefly.", "You are a storyteller.")))
    if rng.random() < 0.12:
        smalltalk.SKILLS[0][0](talk)
    skill = rng.choices([s[0] for s in SKILLS], [s[1] for s in SKILLS])[0]
    skill(talk)
    return talk.turns
