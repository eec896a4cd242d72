"""Small sums in digits, words and stories, and chains of them. Limits: 999 for + and -, tables to 12."""

from .phrases import capital, say

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def words(n):
    """The number in English words, 0 to 999."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")
    return ONES[n // 100] + " hundred" + (" and " + words(n % 100) if n % 100 else "")


def small(rng):
    """A number, mostly small."""
    dice = rng.random()
    return rng.randint(0, 12) if dice < 0.4 else rng.randint(0, 30) if dice < 0.65 else rng.randint(0, 100) if dice < 0.86 else rng.randint(100, 499)


def draw(rng):
    """(a, sign, b, result) within the limits."""
    sign = rng.choices("+-*/", (8, 7, 6, 3))[0]
    if sign == "+":
        a, b = small(rng), small(rng)
        return a, sign, b, a + b
    if sign == "-":
        a, b = small(rng), small(rng)
        if rng.random() < 0.12:
            a, b = rng.randint(100, 999), rng.randint(0, 499)
        if a < b and rng.random() < 0.8:
            a, b = b, a
        return a, sign, b, a - b
    if sign == "*":
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        if rng.random() < 0.12:
            a = rng.choice((20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 15, 13, 14))
            b = rng.randint(1, 10) if a not in (13, 14, 15, 25) else rng.randint(1, 6)
            if rng.random() < 0.5:
                a, b = b, a
        return a, sign, b, a * b
    b, c = rng.randint(1, 12), rng.randint(0, 12)
    return b * c, sign, b, c


SPOKEN = {"+": ["plus", "plus", "and", "added to"], "-": ["minus", "minus", "take away", "less"], "*": ["times", "times", "multiplied by", "x"], "/": ["divided by", "divided by", "over", "by"]}
WRITTEN = {"+": "+", "-": "-", "*": "[*|x|×|*]", "/": "[/|÷|:|/]"}
ORDERS = {
    "+": ["add {a} and {b}", "add {b} to {a}", "the sum of {a} and {b}", "what is the sum of {a} and {b}?", "what do {a} and {b} make?", "sum {a} and {b}", "add up {a} and {b}", "what do you get when you add {a} and {b}?", "how much is {a} and {b} together?"],
    "-": ["subtract {b} from {a}", "take {b} from {a}", "take {b} away from {a}", "the difference between {a} and {b}", "what is {b} less than {a}?", "what is left when you take {b} from {a}?", "what do you get if you subtract {b} from {a}?"],
    "*": ["multiply {a} by {b}", "multiply {a} and {b}", "the product of {a} and {b}", "what is the product of {a} and {b}?", "what do you get when you multiply {a} by {b}?"],
    "/": ["divide {a} by {b}", "how many times does {b} go into {a}?", "split {a} by {b}", "what do you get when you divide {a} by {b}?"],
}  # fmt: skip
FRAMES = [
    "What is {s}?", "what's {s}", "what is {s}", "{s}", "{s} =", "{s}=?", "{s}?", "how much is {s}?", "calculate {s}", "[compute|solve|work out|evaluate|do] {s}", "can you [work out|calculate|compute|do|solve|add up|tell me] {s}?",
    "[tell me|please tell me|do you know|I need|give me] {s}", "[what does|how much does] {s} [equal|make|give]?", "{s} is [what|how much]?", "[maths|math|quick maths|sum|a sum]: {s}", "[the answer to|the result of] {s}", "what is the [answer to|result of] {s}?",
    "[so|hey,|ok,|hmm,|quick,|well,] what is {s}?", "{s} equals", "[is it true that you can do sums? what is|my homework says] {s}?", "how many is {s}?", "do you know what {s} is?", "If I type {s}, what do you get?",
]  # fmt: skip


def spelled(rng, a, sign, b):
    """The sum as somebody writes it: 7+5, 7 + 5, 7 plus 5, seven plus five."""
    dice = rng.random()
    if dice < 0.5:
        gap = rng.choice(("", " ", " "))
        return say(rng, [f"{a}{gap}{WRITTEN[sign]}{gap}{b}"])
    if dice < 0.78 or max(abs(a), abs(b)) > 120 or min(a, b) < 0:
        return f"{a} {rng.choice(SPOKEN[sign])} {b}"
    return f"{words(a)} {rng.choice(SPOKEN[sign][:2])} {words(b)}"


def shown(sign):
    return {"+": "+", "-": "-", "*": "×", "/": "÷"}[sign]


def sum_(talk):
    """One sum, then perhaps a chain on its result."""
    rng = talk.rng
    a, sign, b, result = draw(rng)
    if rng.random() < 0.2:
        x, y = (words(a), words(b)) if rng.random() < 0.25 and max(a, b) < 100 else (a, b)
        talk.ask(ORDERS[sign], a=x, b=y)
    else:
        text = say(rng, FRAMES, s=spelled(rng, a, sign, b))
        talk.ask([text], keep=[text], polite=rng.random() < 0.5)
    give(talk, a, sign, b, result)


def give(talk, a, sign, b, result, lead=""):
    s = shown(sign)
    minus = f"({b})" if b < 0 else b
    talk.answer([f"{a} {s} {minus} = {result}.", f"{a} {s} {minus} = {result}", f"{a} {s} {minus} = {result}.", f"That is {result}: {a} {s} {minus} = {result}.", f"{a} {s} {minus} is {result}."], chain_options(result, a, sign, b))


def chain_options(result, a, sign, b):
    options = [lambda t: chain(t, result)] * 4 + [lambda t: sure(t, a, sign, b, result), lambda t: halve(t, result), lambda t: sum_(t), lambda t: parity(t, result)]
    if sign in "+*" and b >= 0 and a >= 0:
        options.append(lambda t: swapped(t, a, sign, b, result))
    return options


def chain(talk, before):
    """`and minus 3?` after a result."""
    rng = talk.rng
    sign = rng.choices("+-*", (5, 5, 3))[0]
    if sign == "*" and not 0 <= before <= 12:
        sign = "+"
    b = rng.randint(0, 12) if rng.random() < 0.7 or sign == "*" else rng.randint(0, 60)
    if sign == "-" and before - b < 0 and rng.random() < 0.7 and before > 0:
        b = rng.randint(0, before)
    spoken = {"+": "[plus|plus|and|add|+]", "-": "[minus|minus|less|take away|-]", "*": "[times|times|multiplied by|x|*]"}[sign]
    number = words(b) if rng.random() < 0.15 else b
    talk.ask([f"[and|and|now|then|ok, and|what about|so|] {spoken} {number}?", f"{spoken} {number}", f"[now|and now|then|ok now|] " + {"+": f"[add {number}|add {number} to that|plus {number} more|{number} more]", "-": f"[subtract {number}|take away {number}|take {number} away|subtract {number} from that]", "*": f"[multiply that by {number}|multiply by {number}|times that by {number}]"}[sign], f"[what is that|how much is that|and that|that|the result|what if you take that] {spoken} {number}?"], keep=[number], polite=False)
    give(talk, before, sign, b, {"+": before + b, "-": before - b, "*": before * b}[sign])


def sure(talk, a, sign, b, result):
    talk.ask(["[are you sure?|really?|sure?|is that right?|is that correct?|are you certain?|I think that is wrong|that's wrong|no|check again|double check|why?|how do you know?|how come?|can you check that?|wrong|explain]"], polite=False)
    s = shown(sign)
    other = {"+": f"{result} - {b} = {a}", "-": f"{result} + {b} = {a}", "*": f"{result} ÷ {b} = {a}" if b else f"anything times 0 is 0", "/": f"{result} × {b} = {a}"}[sign]
    talk.answer([f"Yes: {a} {s} {b} = {result}. [To check|The other way round]: {other}.", f"I believe so. {a} {s} {b} = {result}, and {other}."], chain_options(result, a, sign, b))


def swapped(talk, a, sign, b, result):
    talk.ask([f"[and|what about|and what about|and what is] {spelled(talk.rng, b, sign, a)}?"], keep=["x"], polite=False, exact=True)
    talk.answer([f"The same: {b} {shown(sign)} {a} = {result}.", f"{b} {shown(sign)} {a} = {result}, the same as before."], chain_options(result, b, sign, a))


def halve(talk, before):
    if before % 2 == 0 and talk.rng.random() < 0.5 and before >= 0:
        talk.ask(["[and|now|ok, and|] [half of that|halve that|divide that by two|half]?", "what is half of that?", "[and|now|] divided by 2?"], polite=False)
        give(talk, before, "/", 2, before // 2)
    else:
        talk.ask(["[and|now|ok, and|] [double that|twice that|double it|the double|twice as much|doubled]?", "what is twice that?"], polite=False)
        give(talk, before, "*", 2, before * 2)


def parity(talk, n):
    talk.ask(["is that [an even number|even|odd|an odd number|odd or even|even or odd]?", "[odd or even|even or odd]?"], polite=False)
    talk.reply(f"{n} is {'odd' if n % 2 else 'even'}.", chain_options(n, n, "+", 0))


def parity_alone(talk):
    n = talk.rng.randint(0, 200)
    talk.ask([f"is {n} [an even number|even|odd|an odd number|odd or even|even or odd]?", f"[odd or even|even or odd]: {n}?"], keep=[n])
    talk.reply(f"{n} is {'odd' if n % 2 else 'even'}.", [parity_alone])


def double(talk):
    n = talk.rng.randint(0, 100)
    if talk.rng.random() < 0.5:
        talk.ask(["[what is|what's|tell me|] [double|twice|two times|the double of] {n}?", "double {n}"], n=n)
        give(talk, n, "*", 2, 2 * n)
    else:
        talk.ask(["[what is|what's|tell me|] half of {n}?", "half of {n}", "halve {n}"], n=2 * n)
        give(talk, 2 * n, "/", 2, n)


def bigger(talk):
    rng = talk.rng
    a, b = rng.randint(0, 120), rng.randint(0, 120)
    more = rng.random() < 0.6
    word = "[bigger|larger|greater|more]" if more else "[smaller|less|lower]"
    talk.ask([f"[which is|which number is|what is|which one is] {word}[, |: | ]{a} or {b}?", f"is {a} {word} than {b}?", f"{a} or {b}, which is {word}?", f"what is {word}: {a} or {b}?"], keep=[a, b])
    question = talk.turns[-1][1].lower()
    if a == b:
        return talk.reply(f"They are equal: both are {a}.", [bigger])
    top, low = max(a, b), min(a, b)
    picked, other = (top, low) if more else (low, top)
    relation = rng.choice(("bigger", "larger", "greater")) if more else "smaller"
    if " than" in question:
        yes = a == picked
        talk.reply(f"{'Yes' if yes else 'No'}, {picked} is {relation} than {other}.", [bigger])
    else:
        talk.reply(f"{picked} is {relation} than {other}.", [bigger])


THINGS = "birds stickers chairs cats dogs people children cars bottles flags ducks sheep horses trees houses letters cards pens plates bags bees roses bricks hats shoes toys dollars euros tokens jokes sandwiches pancakes bananas tomatoes potatoes carrots grapes frogs rabbits mice boxes apples pears coins books pencils eggs cookies marbles stamps shells balls keys oranges stones flowers cups tokens sweets boats fish cakes candles lemons nuts tickets".split()
NAMES = "Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Kim Lena Max Nora Oscar Paula Rosa Sam Tom Vera".split()


def word_problem(talk):
    rng = talk.rng
    thing = rng.choice(THINGS)
    who = rng.choice(NAMES)
    kind = rng.randrange(3)
    if kind == 0:
        a, b = rng.randint(1, 40), rng.randint(1, 40)
        texts = ["I have {a} {t} and [get|buy|find|am given] {b} more. How many [{t} |]do I have[ now|]?", "{w} has {a} {t}. {w} [gets|buys|finds] {b} more. How many {t} does {w} have?", "if I have {a} {t} and you give me {b}, how many do I have?", "there are {a} {t} on the table and {b} in the box, how many {t} are there [in all|together|]?", "{a} {t} and {b} {t}, how many is that?", "{w} had {a} {t} and [got|found|bought|won] {b} more. How many does {w} have now?", "I had {a} {t}, now {b} more came. how many are there?"]
        sign, result = "+", a + b
    elif kind == 1:
        a = rng.randint(1, 50)
        b = rng.randint(0, a)
        texts = ["I have {a} {t} and [eat|lose|give away|sell|use] {b}. How many [{t} |]are left?", "{w} has {a} {t} and [gives away|loses|sells] {b}. How many {t} does {w} have[ left|]?", "if there are {a} {t} and I take {b}, how many [remain|are left]?", "{a} {t}, {b} of them break. how many are left?", "there are {a} {t} [on a roof|in a field|in a box|at school|in the garden|on the table] and {b} [go away|are taken away|disappear|leave|get lost], how many [stay|remain|are left]?", "from {a} {t}, {b} are [gone|sold|broken]. How many are there now?"]
        sign, result = "-", a - b
    else:
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        texts = ["[I have|there are] {a} boxes with {b} {t} each. How many {t} [is that|are there|do I have]?", "{a} bags with {b} {t} in each, how many {t}?", "{w} buys {a} bags of {b} {t}. How many {t} does {w} have?"]
        sign, result = "*", a * b
    talk.ask(texts, polite=False, a=a, b=b, t=thing, w=who)
    talk.answer([f"{a} {shown(sign)} {b} = {result}, so [that is|the answer is] {result} {thing}.", f"{capital(str(result))} {thing}, since {a} {shown(sign)} {b} = {result}."], chain_options(result, a, sign, b))


def three(talk):
    """Sums of three small numbers, worked out in steps."""
    rng = talk.rng
    a, b, c = rng.randint(0, 30), rng.randint(0, 30), rng.randint(0, 20)
    one, two = rng.choice("+-"), rng.choice("+-")
    mid = a + b if one == "+" else a - b
    end = mid + c if two == "+" else mid - c
    text = say(rng, FRAMES, s=rng.choice((f"{a} {one} {b} {two} {c}", f"{a}{one}{b}{two}{c}", f"{a} {SPOKEN[one][0]} {b} {SPOKEN[two][0]} {c}")))
    talk.ask([text], keep=[text], polite=False)
    talk.reply(f"{a} {one} {b} = {mid}, and {mid} {two} {c} = {end}.", chain_options(end, mid, two, c))


def too_big(talk):
    """Sums beyond the limits are declined rather than guessed."""
    rng = talk.rng
    big = rng.choice((rng.randint(1000, 9999), rng.randint(10000, 10**7), rng.randint(10**7, 10**12), rng.randint(1000, 99999)))
    other = rng.choice((rng.randint(1000, 99999), rng.randint(2, 999), rng.randint(13, 999)))
    sum_text = rng.choice([f"{big} {rng.choice('+-*/x')} {other}", f"{big}{rng.choice('+-*/')}{other}", f"{rng.randint(16, 99)} * {rng.randint(16, 99)}", f"{rng.randint(13, 99)} times {rng.randint(101, 999)}", f"{rng.randint(101, 999)} * {rng.randint(101, 999)}", f"{big} plus {other}", f"{big} times {other}", f"{rng.randint(2, 99)}.{rng.randint(1, 99)} {rng.choice('+-*')} {rng.randint(2, 9)}.{rng.randint(1, 99)}", f"{rng.randint(2, 30)}^{rng.randint(3, 9)}"])
    if rng.random() < 0.25:
        talk.ask(["[what is|calculate|compute|solve] the [square root|cube root|logarithm|sine|cosine|factorial|derivative|integral] of {n}?", "solve {a}x + {b} = {n}", "[what is|how many digits has] pi?", "what is {a} percent of {n}?", "[sqrt|log|sin]({n})", "is {n} a prime number?", "solve this equation: x + {a} = {n}", "{a} divided by zero?", "what is the {n}th prime?"], n=rng.randint(2, 5000), a=rng.randint(2, 90), b=rng.randint(2, 90))
        talk.answer(["That is beyond my maths: I only do small sums, such as 7 + 5 or 6 × 8.", "I can't do that. I add and subtract numbers up to a few hundred, and know the times tables up to 12.", "That is too hard for me. I am a small demonstration model that does small sums only."], [sum_])
        return
    text = say(rng, FRAMES, s=sum_text)
    talk.ask([text], keep=[text], polite=False)
    talk.answer(["That is too big for me to do reliably. I add and subtract numbers up to a few hundred, and know the times tables up to 12.", "Those numbers are too big for me. I only do small sums, such as 7 + 5 or 6 × 8.", "I would only guess, so I had better not: I can do small sums only."], [sum_])


SKILLS = [(sum_, 26), (three, 3), (too_big, 4), (word_problem, 5), (bigger, 3), (double, 2), (parity_alone, 1)]
