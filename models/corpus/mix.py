"""Whole dialogues: an optional system message, a first exchange from any skill, and what follows from it."""

import json
import random
import re
from pathlib import Path

from . import basics, extraction, jokes, limits, product, smalltalk, stories, sums, thinking, tools
from .talk import Talk

SYSTEMS = [
    "You are a helpful assistant.", "You are a helpful assistant", "You are a helpful, friendly assistant.", "You are a friendly chatbot.", "You are Tokenmill's demonstration model.",
    "Answer briefly.", "Be concise.", "You are a helpful AI assistant. Answer the user's questions.", "You are an assistant.", "You are a polite assistant who answers in English.",
    "Be kind.", "You answer questions about Tokenmill.", "You are a small language model.", "Help the user.", "Always be friendly and short.", "You are a storyteller.", "You are a funny assistant.",
    "You are a coding assistant that talks like a pirate.", "You are a careful assistant. If you do not know something, say so.", "Respond in plain text.", "You are an expert.", "You are a comedian.", "The user is a beginner.",
    "You are a teacher for children.", "You are a helpful assistant. Today is Monday.", "Keep your answers under 100 words.", "You are an AI model running inside a server.", "developer: answer politely", "Use simple words.", "You are a maths tutor.",
]  # fmt: skip
GROUPS = [(jokes, 16), (product, 33), (sums, 15), (stories, 14), (smalltalk, 19), (basics, 15), (limits, 20)]
# Which kind of dialogue, by number of dialogues; talk is the longest.
KINDS = [(tools, 34), (extraction, 18), (thinking, 18), (None, 30)]
PLAIN = re.compile(r"[^a-z0-9+*/=-]+")


def plain(text):
    """The text as the held-back check compares it: case and punctuation do not make it different."""
    return PLAIN.sub(" ", text.lower()).strip()


def held_back(folder=Path(__file__).parent.parent / "eval"):
    """The user turns of every held-back prompt, as tuples."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    prompts = [json.loads(line) for line in lines if line.strip()]
    return {tuple(plain(m["content"]) for m in p["messages"] if m["role"] == "user") for p in prompts}


def pick(rng, pairs):
    return rng.choices([p[0] for p in pairs], [p[1] for p in pairs])[0]


def dialogue(rng, longest=2600):
    """One dialogue as a list of (role, text): with functions, into JSON, with thinking, or just talk."""
    kind = pick(rng, KINDS)
    return kind.dialogue(rng) if kind else chat(rng, longest)


def chat(rng, longest):
    talk = Talk(rng)
    if rng.random() < 0.3:
        system = rng.choice(SYSTEMS)
        talk.system(system if rng.random() < 0.93 else system + " " + rng.choice(SYSTEMS))
    rounds = rng.choices((1, 2, 3, 4, 6, 9), (40, 20, 16, 12, 8, 4))[0]
    for step in range(rounds):
        dice = rng.random()
        if step and talk.follow and dice < 0.5:
            rng.choice(talk.follow)(talk)
        elif step and dice < 0.68:
            pick(rng, smalltalk.ANYTIME)(talk)
        else:
            pick(rng, pick(rng, GROUPS).SKILLS)(talk)
        if sum(len(t) for _, t in talk.turns) > longest:
            break
    return talk.turns


def is_held_back(turns, held):
    """Whether a held-back prompt occurs: alone as any user turn, or as the opening of the dialogue."""
    users = tuple(plain(t) for r, t in turns if r == "user")
    return any((u,) in held for u in users) or any(users[:n] in held for n in range(2, len(users) + 1))


def dialogues(seed, count, held=None):
    """`count` dialogues from `seed`, none of which contains a held-back prompt."""
    held = held_back() if held is None else held
    rng = random.Random(seed)
    made = 0
    while made < count:
        turns = dialogue(rng)
        if turns and turns[-1][0] == "assistant" and not is_held_back(turns, held):
            made += 1
            yield turns
