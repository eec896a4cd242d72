"""How people really type: case lost, punctuation lost, slips of the finger, padding, politeness."""

import re

KEYS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo",
    "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et",
    "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
BEFORE = [
    "please {t}", "can you please {t}", "could you {t}", "can you {t}", "would you {t}", "hey, {t}", "hi, {t}",
    "hello! {t}", "ok {t}", "okay, {t}", "so, {t}", "please, {t}", "pls {t}", "yo {t}", "i want you to {t}",
    "i would like you to {t}", "i need you to {t}", "now {t}", "go on, {t}", "quick: {t}", "hey there, {t}",
    "hey tokenmill, {t}", "well then, {t}", "just {t}", "you should {t}", "could you please {t}", "ok now {t}",
]  # fmt: skip
BEFORE_QUESTION = [
    "hey, {t}", "hi, {t}", "so {t}", "ok, {t}", "tell me, {t}", "quick question: {t}", "please tell me: {t}",
    "hello, {t}", "one question, {t}", "sorry, {t}", "i wonder, {t}", "and {t}", "but {t}", "hmm, {t}", "question: {t}",
    "well, {t}", "i have a question: {t}", "excuse me, {t}", "just curious, {t}", "hey tokenmill, {t}", "also, {t}",
]  # fmt: skip
AFTER = ["{t} please", "{t}, please", "{t} thanks", "{t}, thanks", "{t} pls", "{t} for me", "{t} now", "{t}, thank you"]
INTROS = [
    "I am new here.", "First time here.", "I just installed this.", "My boss wants to know:", "Sorry to bother you.", "Good morning.", "I have a question.",
    "Quick one.", "I was wondering:", "Not sure if you can, but", "Maybe a silly question:", "One more thing:", "Help!", "OK, listen.", "My friend asked me:",
    "I am curious:", "It is late, but", "I read the README and still wonder:", "Hello again.", "Hi there!", "Something else:", "Let me ask you this.", "Before I forget:",
    "I already know a little.", "Now for something different.", "Let us see.", "I could not find it:", "Excuse me.", "You may know this:", "Thanks. Next question:",
    "I am trying this out.", "We are testing this at work.", "I am a beginner.", "Hey you,", "Good evening!", "Dear model,", "My colleague says hi.", "Okay little model,",
]  # fmt: skip
OUTROS = [
    "right now", "at the moment", "on my machine", "here", "exactly", "in a nutshell", "to try out", "if you can", "if possible", "when you have time",
    "for my friend", "today", "quickly", "if you know", "by any chance", "little model", "my friend", "dear model", "in this case", "in general", "again", "then", "actually",
    "if I may ask", "I wonder", "do you think", "will you", "okay", "in your own words", "for a beginner", "first", "instead", "really", "in my case", "with this", "for us",
    "I'm good at those", "I like those", "I love them", "I need one", "I am in the mood", "I like that", "go", "my dear", "I have time", "that would be nice", "I am curious", "just for fun",
]  # fmt: skip
DROPPED = {"the", "a", "an", "me", "is", "do", "to", "i", "you", "of", "please", "my", "it", "are", "does", "for", "can", "that", "this", "some", "with"}
FILLERS = ["actually", "really", "maybe", "just", "exactly", "perhaps", "kindly", "even", "still", "um", "uh", "simply", "please", "now", "again", "also", "like", "only", "possibly", "normally", "best"]
SHORT = [
    ("what is", "what's"), ("what is", "whats"), ("do not", "don't"), ("do not", "dont"), ("i am", "i'm"),
    ("i am", "im"), ("you", "u"), ("please", "plz"), ("are you", "r u"), ("how do i", "how to"), ("cannot", "can't"),
    ("because", "cuz"), ("want to", "wanna"), ("tell me", "gimme"), ("give me", "gimme"), ("how is", "how's"),
    ("who is", "who's"), ("where is", "where's"), ("colour", "color"), ("favourite", "favorite"),
]  # fmt: skip


def typed(rng, text, keep=(), polite=False):
    """`text` as somebody might type it. Words in `keep` are never misspelt (they must be copied back).

    `polite` allows padding such as "can you ... please"; the text must then be a request or a question.
    """
    if polite and rng.random() < 0.3:
        text = padded(rng, text)
    if polite and rng.random() < 0.13:
        text = in_context(rng, text)
    if rng.random() < (0.12 if polite else 0.06):
        text = reworded(rng, text)
    if rng.random() < 0.2:
        text = shortened(rng, text)
    if rng.random() < 0.14:
        text = misspelt(rng, text, {w.lower() for k in keep for w in re.findall(r"\w+", str(k))})
    return recased(rng, text)


def padded(rng, text):
    question = text.rstrip().endswith("?") or text.lower().startswith(("what", "who", "how", "where", "why", "when", "which", "is ", "are ", "do ", "does ", "can "))
    if rng.random() < 0.25:
        stem = text.rstrip("?.! ")
        return rng.choice(AFTER).format(t=stem) + (text[len(stem) :].strip() or "")
    frame = rng.choice(BEFORE_QUESTION if question else BEFORE)
    inner = text if text[:2] in ("I ", "I'") else text[:1].lower() + text[1:]
    out = frame.replace("{t}", inner)
    if not question and out.startswith(("can", "could", "would")) and rng.random() < 0.5:
        out = out.rstrip(".") + "?"
    return out[:1].upper() + out[1:]


def in_context(rng, text):
    """With words around it that do not matter."""
    if rng.random() < 0.55:
        return f"{rng.choice(INTROS)} {text}"
    stem = text.rstrip("?.! ")
    end = text[len(stem) :].strip()
    return f"{stem}{rng.choice((' ', ' ', ', '))}{rng.choice(OUTROS)}{end}"


def reworded(rng, text):
    """With a small word lost, or a filler that nobody needs."""
    words = text.split(" ")
    droppable = [n for n, w in enumerate(words) if w.lower() in DROPPED and not (w == "I" and n)]
    if len(words) > 3 and droppable and rng.random() < 0.6:
        for n in sorted(rng.sample(droppable, min(len(droppable), rng.choice((1, 1, 2)))), reverse=True):
            del words[n]
    else:
        words.insert(rng.randrange(len(words) + 1), rng.choice(FILLERS))
    return " ".join(words)


def shortened(rng, text):
    options = [(a, b) for a, b in SHORT if re.search(rf"\b{a}\b", text, re.I)]
    if not options:
        return text
    long, short = rng.choice(options)
    return re.sub(rf"\b{long}\b", short, text, count=1, flags=re.I)


def misspelt(rng, text, keep):
    words = [m for m in re.finditer(r"[A-Za-z]{3,}", text) if m.group(0).lower() not in keep]
    for m in sorted(rng.sample(words, min(len(words), rng.choice((1, 1, 1, 2)))), key=lambda m: -m.start()):
        text = text[: m.start()] + slip(rng, m.group(0)) + text[m.end() :]
    return text


def slip(rng, word):
    at = rng.randrange(len(word))
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[: at + 1] + word[at:]
    if kind == 2 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + rng.choice(KEYS.get(word[at].lower(), "e")) + word[at + 1 :]


def recased(rng, text):
    dice = rng.random()
    if dice < 0.38:
        text = text.lower()
    elif dice < 0.41:
        text = text.upper()
    dice = rng.random()
    if dice < 0.4:
        text = text.rstrip("?.! ")
    elif dice < 0.46:
        text = text + rng.choice(("!", "?", "??", "...", " :)", "!!", " ?", ".", " "))
    return text if text.strip(" ?.!") else "hello"
