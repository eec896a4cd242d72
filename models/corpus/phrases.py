"""Phrase templates: `[a|b|c]` picks one, nested brackets allowed, `{slot}` is filled in.

A bracket without a `|` is ordinary text, so code such as `choices[0]` needs no escaping.
"""

import re

GROUP = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
VOWEL = re.compile(r"(?!uni|use|eu|one)[aeiou]", re.I)
LOOSE_A = re.compile(r"\b([Aa]) ((?!uni|use|eu|one)[aeiou])")
SLOT = re.compile(r"\{(\w+)\}")


def expand(rng, template, slots=None):
    """One phrase of the template, innermost groups first; slots are filled last and never expanded."""
    text = template
    while True:
        found = GROUP.search(text)
        if found is None:
            break
        choice = rng.choice(found.group(1).split("|"))
        text = text[: found.start()] + choice + text[found.end() :]
    if slots:
        text = SLOT.sub(lambda m: str(slots[m.group(1)]) if m.group(1) in slots else m.group(0), text)
    return text


def say(rng, templates, **slots):
    """Picks a template, then a phrase of it."""
    return expand(rng, rng.choice(templates), slots).strip()


def capital(text):
    """The text with its first letter upper case."""
    return text[:1].upper() + text[1:]


def article(noun):
    """The noun with `a` or `an`."""
    return ("an " if VOWEL.match(noun) else "a ") + noun


def with_articles(text):
    """The text with every `a` before a vowel made `an`."""
    return LOOSE_A.sub(r"\1n \2", text)
