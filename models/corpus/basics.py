"""Closed little subjects: counting, alphabet, days, months, repeating, spelling, opposites, a few facts, dice."""

from .phrases import capital, say
from .stories import HEROES, OBJECTS, PLACES, PROPER, made_up
from .sums import words

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SEASONS = "spring summer autumn winter".split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
RAINBOW = "red orange yellow green blue indigo violet".split()
OPPOSITES = [("hot", "cold"), ("big", "small"), ("up", "down"), ("day", "night"), ("left", "right"), ("good", "bad"), ("old", "young"), ("fast", "slow"), ("happy", "sad"), ("wet", "dry"), ("open", "closed"), ("light", "dark"), ("high", "low"), ("early", "late"), ("rich", "poor"), ("hard", "soft"), ("full", "empty"), ("long", "short"), ("loud", "quiet"), ("true", "false"), ("yes", "no"), ("black", "white"), ("strong", "weak"), ("near", "far"), ("clean", "dirty"), ("first", "last"), ("win", "lose"), ("push", "pull"), ("sweet", "sour"), ("new", "old"), ("tall", "short"), ("easy", "difficult"), ("start", "stop"), ("buy", "sell"), ("love", "hate"), ("thick", "thin"), ("inside", "outside"), ("awake", "asleep"), ("brave", "afraid"), ("warm", "cool"), ("north", "south"), ("east", "west"), ("cheap", "expensive"), ("begin", "end"), ("top", "bottom"), ("summer", "winter"), ("heavy", "light"), ("wide", "narrow")]  # fmt: skip
SOUNDS = {"cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa", "pig": "oink", "horse": "neigh", "frog": "ribbit", "owl": "hoo", "hen": "cluck", "bee": "buzz", "snake": "hiss", "lion": "roar", "mouse": "squeak", "crow": "caw", "wolf": "awoo", "donkey": "hee-haw", "goat": "meh", "rooster": "cock-a-doodle-doo", "bird": "tweet"}
COLOUR_OF = {"the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "a tomato": "red", "coal": "black", "a lemon": "yellow", "blood": "red", "milk": "white", "an orange": "orange", "a leaf": "green", "the sea": "blue", "chocolate": "brown", "the sun": "yellow", "a carrot": "orange", "a frog": "green", "a strawberry": "red", "a crow": "black", "a pig": "pink", "an elephant": "grey", "a flamingo": "pink", "a cherry": "red", "a pea": "green"}
LEGS = {"spider": 8, "dog": 4, "cat": 4, "bird": 2, "ant": 6, "bee": 6, "horse": 4, "snake": 0, "cow": 4, "human": 2, "duck": 2, "fish": 0, "beetle": 6, "chicken": 2, "elephant": 4, "fly": 6, "mouse": 4, "person": 2}
BABIES = {"dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "hen": "chick", "duck": "duckling", "horse": "foal", "pig": "piglet", "bear": "cub", "goat": "kid", "swan": "cygnet", "lion": "cub", "frog": "tadpole"}
SHAPES = {"triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6, "octagon": 8, "heptagon": 7, "cube": 6}
MIXES = [("red", "blue", "purple"), ("red", "yellow", "orange"), ("blue", "yellow", "green"), ("red", "white", "pink"), ("black", "white", "grey")]
HOW_MANY = [("days are in a week", "7 days in a week"), ("months are in a year", "12 months in a year"), ("days are in a year", "365 days in a year, and 366 in a leap year"), ("hours are in a day", "24 hours in a day"), ("minutes are in an hour", "60 minutes in an hour"), ("seconds are in a minute", "60 seconds in a minute"), ("letters are in the alphabet", "26 letters in the English alphabet"), ("seasons are there", "4 seasons: spring, summer, autumn and winter"), ("weeks are in a year", "52 weeks in a year"), ("cents are in a dollar", "100 cents in a dollar"), ("metres are in a kilometre", "1,000 metres in a kilometre"), ("eggs are in a dozen", "12 eggs in a dozen"), ("continents are there", "7 continents"), ("planets are there", "8 planets in our solar system"), ("colours does a rainbow have", "7 colours in a rainbow"), ("fingers does a hand have", "5 fingers on a hand, with the thumb"), ("wheels does a bicycle have", "2 wheels on a bicycle"), ("wheels does a car have", "4 wheels on a car"), ("centimetres are in a metre", "100 centimetres in a metre"), ("minutes are in a day", "1,440 minutes in a day"), ("bits are in a byte", "8 bits in a byte"), ("players are in a football team", "11 players in a football team"), ("strings does a guitar have", "6 strings on a guitar"), ("strings does a violin have", "4 strings on a violin"), ("sides does a dice have", "6 sides on a dice")]  # fmt: skip
CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Austria": "Vienna", "England": "London", "the United Kingdom": "London", "Ireland": "Dublin", "Scotland": "Edinburgh", "Sweden": "Stockholm", "Norway": "Oslo", "Denmark": "Copenhagen", "Finland": "Helsinki", "Iceland": "Reykjavik", "Poland": "Warsaw", "Greece": "Athens", "Hungary": "Budapest", "Belgium": "Brussels", "the Netherlands": "Amsterdam", "Switzerland": "Bern", "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Russia": "Moscow", "Turkey": "Ankara", "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa", "the United States": "Washington, D.C.", "the USA": "Washington, D.C.", "Mexico": "Mexico City", "Brazil": "Brasilia", "Argentina": "Buenos Aires", "Chile": "Santiago", "Peru": "Lima", "Cuba": "Havana", "Australia": "Canberra", "New Zealand": "Wellington", "South Korea": "Seoul", "Thailand": "Bangkok", "Vietnam": "Hanoi", "the Czech Republic": "Prague", "Ukraine": "Kyiv", "Romania": "Bucharest", "Croatia": "Zagreb", "Morocco": "Rabat", "Ethiopia": "Addis Ababa", "Iran": "Tehran", "Iraq": "Baghdad", "Indonesia": "Jakarta"}  # fmt: skip
OTHER_COUNTRIES = "Mongolia Bolivia Laos Nepal Bhutan Gabon Chad Mali Niger Angola Zambia Malawi Fiji Tonga Samoa Belize Guyana Suriname Oman Yemen Qatar Kuwait Georgia Armenia Latvia Estonia Lithuania Slovenia Slovakia Serbia Albania Malta Cyprus Moldova Belarus Bulgaria Nigeria Ghana Senegal Tunisia Algeria Libya Sudan Uganda Rwanda Tanzania Namibia Botswana Madagascar Pakistan Bangladesh Myanmar Cambodia Malaysia Singapore Philippines Taiwan Kazakhstan Uzbekistan Afghanistan Syria Lebanon Jordan Israel Colombia Venezuela Ecuador Paraguay Uruguay Panama Jamaica Haiti Honduras Texas California Bavaria Ontario".split()
FACTS = ["An octopus has three hearts.", "Honey can be kept for many years without going bad.", "A spider has eight legs, so it is not an insect.", "Bees dance to tell each other where the flowers are.", "Light from the sun needs about eight minutes to reach us.", "The blue whale is the largest animal that has ever lived.", "Bananas grow upwards.", "A group of crows is called a murder.", "Penguins can swim very well, but they cannot fly.", "The moon always shows us the same side.", "Bamboo is a kind of grass.", "Snails can sleep for a very long time.", "A day on Venus is longer than its year.", "Butterflies taste with their feet.", "Sound travels faster in water than in air.", "Cats sleep for more than half of the day.", "There are more stars in the sky than anyone can count.", "Water expands when it freezes, which is why ice floats.", "A byte has eight bits.", "The word robot comes from a Czech play.", "Windmills once ground most of Europe's flour.", "Sea stars have no brain.", "Bats are the only mammals that really fly.", "Seven times eight is fifty-six, which many people forget."]  # fmt: skip
YES_NO = [("can birds fly", "Yes, most birds can fly."), ("can penguins fly", "No, penguins cannot fly, but they swim well."), ("can fish swim", "Yes, fish can swim."), ("is the sky blue", "Yes, on a clear day it is."), ("is ice cold", "Yes, ice is cold."), ("is fire hot", "Yes, fire is hot."), ("is a whale a fish", "No, a whale is a mammal."), ("is the earth flat", "No, the earth is round."), ("is the earth round", "Yes, nearly a ball."), ("is a spider an insect", "No, it has eight legs; insects have six."), ("is water wet", "Yes, as far as I know!"), ("is a tomato a fruit", "Yes, a tomato is a fruit, though we cook it as a vegetable."), ("can pigs fly", "No, pigs cannot fly."), ("do cats bark", "No, cats meow. Dogs bark."), ("do dogs bark", "Yes, dogs bark."), ("is the sun a star", "Yes, the sun is a star."), ("is the moon a planet", "No, the moon goes around the earth."), ("do fish have legs", "No, fish have fins."), ("can elephants jump", "No, elephants do not jump."), ("is snow white", "Yes, snow is white."), ("is a bat a bird", "No, a bat is a mammal."), ("is zero even", "Yes, zero is even."), ("does the sun rise in the west", "No, it rises in the east.")]
SPELLABLE = sorted({w for w in HEROES + PLACES + OBJECTS if w.isalpha()} | set("tokenmill hello banana computer model server stream token elephant because friend school Monday Tuesday Wednesday colour favourite house water python world beautiful chocolate strawberry necessary rhythm family morning evening people language number answer question".split()))


def listing(items):
    return ", ".join(str(i) for i in items)


def count(talk):
    rng = talk.rng
    dice = rng.random()
    if dice < 0.5:
        n = rng.choice((3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 10, 10, 11, 12, 13, 14, 15, 16, 18, 20, 20, 20, 25, 30))
        number = words(n) if rng.random() < 0.3 else n
        talk.ask(["count to {n}", "count from [1|one] to {n}", "count up to {n}", "now [count |]up to {n}", "[start|begin] counting to {n}", "show me how you count to {n}", "count for me, up to {n}", "can you count to {n}?", "count [till|until] {n}", "[list|give me|write|tell me] the numbers from [1|one] to {n}", "[list|say|print|show] the numbers 1 to {n}", "numbers from 1 to {n}", "Count to {n}."], n=number)
        items = range(1, n + 1)
    elif dice < 0.7:
        a = rng.randint(0, 60)
        b = a + rng.randint(2, 15)
        talk.ask(["count from {a} to {b}", "[list|write|give me|what are] the numbers from {a} to {b}", "numbers from {a} to {b}", "can you count from {a} to {b}?"], a=a, b=b)
        items = range(a, b + 1)
    elif dice < 0.88:
        n = rng.choice((3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 10, 11, 12, 15, 20))
        talk.ask(["count [down|backwards|backward] from {n}", "count [down|backwards|in reverse] from {n}, please", "can you count [down|backwards] from {n}?", "start at {n} and count [down|backwards]", "from {n} [down|backwards]", "[numbers|count] backwards, starting at {n}", "backwards from {n}", "count [down|backwards] from {n} to [1|one]", "countdown from {n}", "count from {n} to 1", "count from {n} down to 1"], n=n)
        items = range(n, 0, -1)
    else:
        step, n = rng.choice(((2, 20), (5, 50), (10, 100), (3, 30), (2, 10), (4, 40)))
        name = {2: "twos", 5: "fives", 10: "tens", 3: "threes", 4: "fours"}[step]
        talk.ask(["count [in|by] {s} to {n}", "count [in|by] {k} up to {n}", "count to {n} in steps of {k}"], s=name, n=n, k=step)
        items = range(step, n + 1, step)
    talk.answer([listing(items), listing(items) + ".", "[Sure|Here you go|Of course]: " + listing(items) + "."], [count_on])


def count_on(talk):
    last = talk.said("assistant")
    numbers = [int(x) for x in "".join(c if c.isdigit() else " " for c in last).split()]
    if len(numbers) < 2 or numbers[-1] < numbers[0] or numbers[1] - numbers[0] != 1:
        return count(talk)
    n = numbers[-1]
    talk.ask(["[go on|continue|what comes next|and then|next|keep counting|further|more]"], polite=False)
    talk.reply(listing(range(n + 1, n + 6)), [count_on])


def alphabet(talk):
    rng = talk.rng
    dice = rng.random()
    if dice < 0.35:
        talk.ask(["[say|tell me|recite|list|write|what is|give me|do you know] the alphabet", "alphabet", "the abc", "say the ABC", "all letters of the alphabet"])
        talk.answer([" ".join(LETTERS), ", ".join(LETTERS) + "."])
    elif dice < 0.85:
        at = rng.randrange(1, 25)
        if rng.random() < 0.65:
            talk.ask(["[what|which] letter [comes|is] after {x}?", "what comes after {x} [in the alphabet|]?", "the letter after {x}"], x=LETTERS[at])
            talk.reply(f"After {LETTERS[at]} comes {LETTERS[at + 1]}.", [alphabet])
        else:
            talk.ask(["[what|which] letter [comes|is] before {x}?", "what comes before {x} [in the alphabet|]?", "the letter before {x}"], x=LETTERS[at])
            talk.reply(f"Before {LETTERS[at]} comes {LETTERS[at - 1]}.", [alphabet])
    else:
        first = rng.random() < 0.5
        talk.ask([f"what is the {'first' if first else 'last'} letter of the alphabet?"])
        talk.reply("It is A." if first else "It is Z.")


def calendar(talk):
    rng = talk.rng
    names, word = rng.choice(((DAYS, "day"), (MONTHS, "month"), (DAYS, "day")))
    dice = rng.random()
    if dice < 0.3:
        what = "days of the week" if word == "day" else "months of the year"
        talk.ask([f"[list|name|tell me|what are|say|give me|write] the {what}", f"{what}", f"[list|name|tell me] all {'days' if word == 'day' else 'months'}", f"which {word}s are there?", f"can you [list|name|tell me] all the {word}s?", f"all {word}s please", f"what are the {'7 days' if word == 'day' else '12 months'}?"])
        text = ", ".join(names[:-1]) + " and " + names[-1]
        talk.reply(rng.choice((text + ".", f"The {what} are {text}.")))
    elif dice < 0.85:
        at = rng.randrange(len(names))
        step = rng.choice((1, 1, -1))
        rel = "after" if step == 1 else "before"
        talk.ask([f"[what|which] {word} [comes|is|follows|comes right] {rel} {{x}}?", f"{{x}} and {'then' if step == 1 else 'before'}?" if step == 1 else f"which {word} is right before {{x}}?", f"name the {word} {rel} {{x}}", f"what comes {rel} {{x}}?", f"what is the {word} {rel} {{x}}?"] + ([f"if today is {{x}}, what [day is|is] {'tomorrow' if step == 1 else 'yesterday'}?", f"today is {{x}}. what {'day is tomorrow' if step == 1 else 'day was yesterday'}?"] if word == "day" else []), x=names[at])
        other = names[(at + step) % len(names)]
        asked = talk.turns[-1][1].lower()
        if "today is" in asked:
            talk.reply(f"{'Tomorrow is' if step == 1 else 'Yesterday was'} {other}.", [calendar])
        else:
            talk.reply(f"{capital(rel)} {names[at]} comes {other}." if step == 1 else f"Before {names[at]} comes {other}.", [calendar])
    elif dice < 0.93:
        at = rng.randrange(12)
        talk.ask(["how many days [has|does] {x} [have|]?", "how many days are in {x}?", "how long is {x}?"], x=MONTHS[at])
        talk.reply(f"{MONTHS[at]} has {LENGTHS[at]} days" + (", and 29 in a leap year." if at == 1 else "."))
    else:
        talk.ask(["[what are|name|list|tell me|which are] the [four |]seasons", "[seasons|seasons of the year]"])
        talk.reply("Spring, summer, autumn and winter.")


SENTENCES = ["this is a drill", "this is only a test", "I love mills", "the train is late", "we are ready to go", "my cat likes tea", "nobody knows the answer", "it works on my machine", "all good things end", "two birds sing in a tree", "the door is open", "I will be back soon", "you can do it", "this is the way", "everything is fine", "time to go home", "the test is over", "there is no spoon", "this is my first message", "welcome to the show"]
PIECES = "the quick brown little red old happy green cat dog fox moon river house apples jump sleep run over under with and my your blue bread sings sun rain is are was not very today tomorrow hello world good night test this that one two three four five we they you love like tea coffee train window door garden music paper stone light dark yes no maybe never always purple banana seven parrot tokens mill grind flour open close".split()


def phrase(rng):
    """Some words to be repeated: real ones, names, made-up ones, numbers."""
    if rng.random() < 0.25:
        words_ = rng.choice(SENTENCES).split()
        for _ in range(rng.randrange(3)):
            words_[rng.randrange(len(words_))] = rng.choice(PIECES + SPELLABLE)
        return " ".join(words_) + rng.choice(("", "", ".", "!"))
    n = rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10))
    out = []
    for _ in range(n):
        dice = rng.random()
        out.append(made_up(rng) if dice < 0.2 else str(rng.randint(0, 999)) if dice < 0.25 else rng.choice(PROPER) if dice < 0.33 else rng.choice(SPELLABLE) if dice < 0.6 else rng.choice(PIECES))
    text = " ".join(out)
    if rng.random() < 0.4:
        text = capital(text)
    return text + rng.choice(("", "", "", ".", "!", "?"))


def repeat(talk):
    rng = talk.rng
    if rng.random() < 0.12:
        talk.ask(["[Say this is a test|say this is a test|Say this is a test!|say: this is a test|Say 'this is a test'|say \"this is a test\"]"], exact=True)
        return talk.reply("This is a test.", [repeat])
    text = phrase(rng)
    talk.ask(["repeat after me: {x}", "say {x}", "say: {x}", "[please |]say \"{x}\"", "repeat: {x}", "say '{x}'", "[can you |please |]repeat \"{x}\"", "repeat this: {x}", "Say \"{x}\"", "echo {x}", "write {x}", "print \"{x}\"", "[just |only ]say {x}", "repeat the words {x}", "reply with {x}", "answer with \"{x}\"", "Repeat after me: {x}", "type {x}", "reply only with {x}", "Respond with \"{x}\"", "say the word {x}", "Say {x}", "Just say {x}", "Write {x}", "Repeat {x}", "repeat {x}", "Say the following: {x}", "can you say {x}?", "please say {x}", "Please repeat: {x}", "Say: {x}", "say this: {x}", "now say {x}"], exact=True, x=text)
    talk.reply(text, [repeat])


def spell(talk):
    word = talk.rng.choice(SPELLABLE)
    talk.ask(["spell {x}", "[how do you|can you] spell {x}?", "spell the word {x}", "how is {x} spelled?", "spell \"{x}\"", "what letters are in {x}?"], x=word)
    letters = "-".join(word.upper())
    talk.answer(["{x}: {l}", "{l}", "{x} is spelled {l}."], [spell], x=capital(word), l=letters)


def letters_in(talk):
    """Letters of a word, counted after spelling it out."""
    word = talk.rng.choice(SPELLABLE)
    if talk.rng.random() < 0.5:
        talk.ask(["how many letters [has|does] {x} [have|]?", "how many letters are in {x}?", "how long is the word {x}?"], x=word)
        talk.reply(f"{'-'.join(word.upper())}: that is {len(word)} letters.")
    else:
        letter = talk.rng.choice(word.lower() if talk.rng.random() < 0.8 else "aeiourst")
        n = word.lower().count(letter)
        talk.ask(["how many {k}'s are in {x}?", "how many times [does|is] {k} [occur |]in {x}?", "how many {k} are [there |]in [the word |]{x}?", "how many {k}s are in {x}?"], x=word, k=letter)
        talk.reply(f"{'-'.join(word.upper())}: the letter {letter} {'is not in it' if n == 0 else 'occurs once' if n == 1 else 'occurs ' + {2: 'twice', 3: '3 times', 4: '4 times'}.get(n, str(n) + ' times')}.")


def opposite(talk):
    a, b = talk.rng.choice(OPPOSITES)
    if talk.rng.random() < 0.5 and a not in ("new", "tall", "heavy"):
        a, b = (b, a) if b not in ("old", "short", "light") else (a, b)
    talk.ask(["what is the opposite of {x}?", "the opposite of {x}", "opposite of {x}", "what's the contrary of {x}?", "give me the opposite of {x}", "{x} is the opposite of what?"], x=a)
    talk.answer(["The opposite of {x} is {y}.", "{Y}."], [opposite, opposite_next], x=a, y=b, Y=capital(b))


def opposite_next(talk):
    a, b = talk.rng.choice(OPPOSITES)
    talk.ask(["[and|and of|what about] {x}?"], polite=False, x=a)
    talk.answer(["The opposite of {x} is {y}."], [opposite_next], x=a, y=b)


def nature(talk):
    rng = talk.rng
    kind = rng.randrange(6)
    if kind == 0:
        x = rng.choice(sorted(SOUNDS))
        talk.ask(["what [sound|noise] does a {x} make?", "what does [a|the] {x} say?", "how does a {x} go?", "what sound do {x}s make?"], x=x)
        talk.answer([f"A {x} says: {SOUNDS[x]}!" if x != "owl" else "An owl says: hoo!", f"{capital(SOUNDS[x])}!"], [nature])
    elif kind == 1:
        x = rng.choice(sorted(COLOUR_OF))
        talk.ask(["what [colour|color] is {x}?", "[which|what] colour [has|does] {x} [have|]?", "what is the color of {x}?"], x=x)
        talk.answer([f"{capital(x)} is {COLOUR_OF[x]}." + (" At night it is black." if x == "the sky" else "")], [nature])
    elif kind == 2:
        x = rng.choice(sorted(LEGS))
        talk.ask(["how many legs [has|does] [a|an] {x} [have|]?", "how many legs do {x}s have?", "number of legs of a {x}"], x=x)
        n = LEGS[x]
        talk.reply(f"{'An' if x[0] in 'aeiou' else 'A'} {x} has {n if n else 'no'} legs.", [nature])
    elif kind == 3:
        x = rng.choice(sorted(BABIES))
        talk.ask(["what is a baby {x} called?", "what do you call a [baby|young] {x}?", "what is a young {x}?"], x=x)
        talk.reply(f"A baby {x} is called a {BABIES[x]}.", [nature])
    elif kind == 4:
        x = rng.choice(sorted(SHAPES))
        talk.ask(["how many [sides|corners] [has|does] [a|an] {x} [have|]?", "how many sides are there in a {x}?"], x=x)
        n = SHAPES[x]
        asked = talk.turns[-1][1].lower()
        if x == "cube":
            talk.reply("A cube has 6 sides and 8 corners.", [nature])
        else:
            talk.reply(f"{'An' if x[0] == 'o' else 'A'} {x} has {n} {'corners' if 'corner' in asked else 'sides'}.", [nature])
    else:
        a, b, c = rng.choice(MIXES)
        if rng.random() < 0.5:
            a, b = b, a
        talk.ask(["what do you get [if|when] you mix {a} and {b}?", "mix {a} and {b}", "what colour [do you get|comes] from {a} and {b}?", "{a} + {b} = what colour?", "what do {a} and {b} make?", "which colour is made of {a} and {b}?", "{a} and {b} make what [colour|color]?", "what colour is {a} mixed with {b}?"], a=a, b=b)
        talk.answer([f"{capital(a)} and {b} make {c}.", f"You get {c}."], [nature])


def colours(talk):
    if talk.rng.random() < 0.5:
        talk.ask(["[name|list|tell me|what are|give me] [some|a few|the|three|five] [colours|colors]", "[colours|colors]", "which colours are there?", "which colours do you know?", "name three colours"])
        talk.reply("Red, yellow and blue." if "three" in talk.turns[-1][1].lower() else "Red, orange, yellow, green, blue, purple, pink, brown, black, white and grey." if "five" not in talk.turns[-1][1].lower() else "Red, yellow, green, blue and purple.")
    else:
        talk.ask(["[what are|name|list|tell me|which are] the colours of the rainbow?", "[which|what] colours [does a rainbow have|are in a rainbow|are in the rainbow]?", "rainbow colours", "colors of the rainbow"])
        talk.reply("The colours of the rainbow are " + ", ".join(RAINBOW[:-1]) + " and " + RAINBOW[-1] + ".")


def how_many(talk):
    question, answer = talk.rng.choice(HOW_MANY)
    if talk.rng.random() < 0.4:
        question = question.replace(" are in ", " in ").replace(" are there", "")
    if " are in a" in question and talk.rng.random() < 0.35:
        thing, whole = question.split(" are in a", 1)
        whole = whole.removeprefix("n").strip()
        question = talk.rng.choice((f"{thing} does [a|one|each|the] {whole} have", f"{thing} has [a|one] {whole}", f"{thing} make [a|one] {whole}", f"{thing} in one {whole}", f"{thing} are there in [a|one|each] {whole}"))
    question = say(talk.rng, [question])
    talk.ask(["how many {q}?", "do you know how many {q}?", "tell me how many {q}"], q=question)
    talk.reply(f"There are {answer}.")


def yes_no(talk):
    question, answer = talk.rng.choice(YES_NO)
    talk.ask(["{q}?", "[tell me, |hey, |so |is it true, |]{q}?"], q=question)
    talk.reply(answer, [yes_no])


def capitals(talk):
    rng = talk.rng
    asks = ["[what is|what's|whats|tell me|name|do you know] the capital of {x}?", "capital of {x}?", "{x} capital?", "which city is the capital of {x}?", "the capital of {x}", "what is the capital city of {x}?"]
    if rng.random() < 0.72:
        country = rng.choice(sorted(CAPITALS))
        if rng.random() < 0.2:
            country, asks = rng.choice((("France", asks), ("France", asks), ("Germany", asks)))
        talk.ask(asks, x=country)
        talk.answer([f"The capital of {country} is {CAPITALS[country]}.", f"{CAPITALS[country]}.", f"It is {CAPITALS[country]}."], [capitals_next, capitals])
        if talk.turns[-1][1].endswith("D.C.."):
            talk.turns[-1] = ("assistant", talk.turns[-1][1][:-1])
    else:
        country = rng.choice(OTHER_COUNTRIES) if rng.random() < 0.7 else capital(made_up(rng))
        talk.ask(asks, x=country)
        talk.answer([f"I don't know the capital of {country}. I only know a few of them by heart.", f"That one I don't know, sorry. I know only some capitals, and {country} is not among them."], [capitals_next])


def capitals_next(talk):
    country = talk.rng.choice(sorted(CAPITALS))
    talk.ask(["[and|and of|what about|and what about|how about] {x}?"], polite=False, x=country)
    text = f"The capital of {country} is {CAPITALS[country]}."
    talk.reply(text.replace("D.C..", "D.C."), [capitals_next])


def fact(talk):
    talk.ask(["[tell|give] me [a|one|some|a fun|an interesting|a random|another] fact", "[fun fact|a fact|random fact|fact please|did you know|a fun fact please]", "do you know [any|a|some] [fun |interesting |][fact|facts]?", "tell me something [I don't know|new|interesting|about the world|about nature|about animals]", "teach me something", "Tell me a fun fact."])
    talk.answer(["{f}", "Did you know? {f}", "Here is one: {f}"], [fact_more], f=talk.fresh("fact", FACTS))


def fact_more(talk):
    talk.ask(["[another|another one|one more|more|next|again|really|wow, another]"], polite=False)
    talk.answer(["{f}", "Here is another one: {f}"], [fact_more], f=talk.fresh("fact", FACTS))


def chance(talk):
    rng = talk.rng
    kind = rng.randrange(4)
    if kind == 0:
        talk.ask(["[flip|toss|throw] a coin", "heads or tails?", "coin flip", "can you flip a coin?"])
        talk.answer(["[Heads|Tails]!", "It is [heads|tails]."], [chance])
    elif kind == 1:
        talk.ask(["[roll|throw] [a|the] [dice|die]", "roll a d6", "can you roll a dice?", "dice please"])
        talk.answer(["You rolled a [1|2|3|4|5|6].", "[1|2|3|4|5|6]!"], [chance])
    elif kind == 2:
        n = rng.choice((5, 6, 10, 10, 10, 20, 100))
        talk.ask(["[pick|choose|tell me|give me|think of|say] a [random |]number [between|from] 1 [and|to] {n}", "a random number from 1 to {n}", "[pick|choose] a number up to {n}"], n=n)
        talk.answer([f"{rng.randint(1, n)}", f"I pick {rng.randint(1, n)}.", f"{rng.randint(1, n)}!"], [chance])
    else:
        a, b = rng.choice(OBJECTS + PROPER), rng.choice(OBJECTS + PROPER)
        talk.ask(["{a} or {b}?", "[choose|pick]: {a} or {b}", "which is better, {a} or {b}?", "should I take {a} or {b}?"], a=a, b=b)
        talk.answer([f"I pick {rng.choice((a, b))}. [But I only guess.|]", f"{capital(rng.choice((a, b)))}, I would say."], [])


def ping(talk):
    kind = talk.rng.randrange(3)
    if kind == 0:
        talk.ask(["ping", "ping?", "Ping!"], polite=False, exact=True)
        talk.reply("Pong!")
    elif kind == 1:
        talk.ask(["test", "testing", "this is a test", "test test", "just testing", "test message", "hello test", "1 2 3 test", "does this work?", "is this working?", "are you working?", "do you work?", "can you hear me?", "do you hear me?", "can you read this?"], polite=False)
        talk.answer(["It works! [What would you like to try?|Ask me for a joke, a story or a small sum.]", "Yes, I can read you. [What would you like to try?|What can I do for you?]"])
    else:
        talk.ask(["[sing|sing me] a song", "can you sing?", "sing something", "sing for me"])
        talk.answer(["La la la, the mill goes round,\nla la la, without a sound,\nla la la, and one by one\nthe tokens dance, and I am done."])


SKILLS = [(count, 6), (alphabet, 3), (calendar, 4), (repeat, 8), (spell, 3), (letters_in, 3), (opposite, 3), (nature, 4), (colours, 2), (how_many, 3), (yes_no, 2), (capitals, 5), (fact, 3), (chance, 4), (ping, 2)]
