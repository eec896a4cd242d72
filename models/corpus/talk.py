"""One dialogue under construction: its turns, what was said about the person, what can follow."""

from .phrases import say
from .typed import typed


class Talk:
    """`turns` are (role, text) pairs. `follow` holds the continuations that make sense right now."""

    def __init__(self, rng):
        self.rng = rng
        self.turns = []
        self.known = {}
        self.follow = []
        self.told = set()

    def system(self, text):
        self.turns.append(("system", text))

    def ask(self, templates, keep=(), polite=True, exact=False, **slots):
        """Adds a user turn made from the templates; slot values are never misspelt."""
        text = say(self.rng, templates, **slots)
        if not exact:
            text = typed(self.rng, text, keep=tuple(keep) + tuple(slots.values()), polite=polite)
        self.turns.append(("user", text))
        return text

    def answer(self, templates, follow=(), **slots):
        """Adds the assistant turn and replaces the continuations."""
        text = say(self.rng, templates if isinstance(templates, (list, tuple)) else [templates], **slots)
        self.turns.append(("assistant", text))
        self.follow = list(follow)
        return text

    def reply(self, text, follow=()):
        """Adds a ready-made assistant turn."""
        self.turns.append(("assistant", text))
        self.follow = list(follow)

    def said(self, role, back=1):
        """The text of the role's last turn, or of an earlier one."""
        found = [t for r, t in self.turns if r == role]
        return found[-back] if len(found) >= back else None

    def fresh(self, kind, options):
        """An option of this kind that the dialogue has not used yet (any, once all are used)."""
        left = [i for i in range(len(options)) if (kind, i) not in self.told]
        at = self.rng.choice(left or range(len(options)))
        self.told.add((kind, at))
        return options[at]
