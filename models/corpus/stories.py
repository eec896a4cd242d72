"""Short stories from a closed world, about what the person names, and short poems."""

from .phrases import article, capital, say, with_articles

HEROES = "fox cat dog mouse rabbit bear owl hedgehog squirrel duck frog hen goose horse donkey goat sheep pig cow wolf deer badger otter beaver mole bat crow raven sparrow robin swan penguin seal whale dolphin turtle crab octopus fish snail spider ant bee butterfly dragon robot knight pirate wizard witch king queen prince princess giant dwarf ghost miller baker fisherman farmer sailor gardener painter clockmaker teacher girl boy child grandmother unicorn elephant lion tiger monkey camel parrot kitten puppy dinosaur mermaid fairy elf troll monster snowman scarecrow teddy-bear astronaut detective princess king postman tailor shepherd hunter merchant magician hippo giraffe zebra kangaroo koala panda lizard worm lamb".split()  # fmt: skip
PLACES = "lighthouse mill forest village castle river lake mountain island harbour garden bridge tower library market meadow cave valley desert beach farm attic cellar windmill orchard station bakery school ship boat well hill field wood swamp town city kitchen house tree cottage tent moon planet museum theatre inn workshop pond waterfall volcano train barn palace shop mine road temple jungle sea ocean river-bank spaceship circus zoo hotel".split()  # fmt: skip
OBJECTS = "lamp key clock bell map book ring lantern kite umbrella coat hat drum flute violin mirror candle letter stone feather shell coin box basket ladder rope wheel cup spoon blanket telescope compass pencil button bread cake apple seed flower egg star snowball sack boot scarf whistle crown sword shield wand carpet bottle chest teapot pumpkin carrot pie honey balloon bicycle toy pearl".split()  # fmt: skip
PROPER = "Milo Pip Luna Otto Tilda Finn Rosa Hugo Ida Bram Nell Juno Oskar Fern Toby Wilma Basil Clover Hazel Rufus Poppy Edgar Mina Theo Olive Jasper Lotte Barnaby Elsie Kasper Dora Gus".split()
TRAITS = "small old young curious brave shy clever lonely cheerful quiet clumsy patient lazy hungry polite sleepy kind proud stubborn gentle".split()
WEATHER = ["One stormy night", "One foggy morning", "One cold evening", "One bright morning", "On the first day of spring", "One windy afternoon", "On a snowy day", "Late one summer evening", "One rainy day", "On the longest night of the year"]
HELPERS = "crow mole snail owl hedgehog goat beetle toad heron sparrow hare otter".split()

# Each plot: opening, trouble, turn, end, moral, summary. {h} hero noun, {n} its name, {p} place, {o} object, {f} helper.
OPEN = [
    "Once upon a time there was a {t} {h} called {n}, who lived near {ap}.",
    "At {ap} far away lived a {t} {h} named {n}.",
    "There once was a {t} {h} by the name of {n}, who lived beside {ap}.",
    "{n} was a {t} {h} who had always lived close to {ap}.",
    "Not long ago, a {t} {h} named {n} made a home near {ap}.",
]
PLOTS = [
    dict(trouble="[{w}, {ao} went missing, and everybody was worried.|{w}, somebody noticed that {the_o} was gone.]", turn="{n} asked [the {f}|a {f} who was passing by], looked behind every stone, and at last found {the_o} [under a heap of leaves|at the very top of {the_p}|in the mud by the path|inside an old boot].", end="[When {n} brought it back, everybody cheered.|All the neighbours came to say thank you, and there was soup for everyone.]", moral="patience finds more than hurry", short="{n} the {h} looked for {the_o} that was lost near {the_p}, and found it with the help of a {f}."),
    dict(trouble="[{w}, the light of {the_p} went out, and nobody could find the way home.|{w}, it grew so dark at {the_p} that nobody dared to move.]", turn="{n} took {ao}, [climbed to the highest point|ran up the hill] and [waved|shone and sang] until the first travellers saw the way. [A {f} came to help.|Even the {f} woke up and joined in.]", end="By morning everyone was safe, and {n} [slept the whole day|was given the best seat by the fire].", moral="one small light is enough for many", short="When it went dark at {the_p}, {n} the {h} showed everyone the way home with {ao}."),
    dict(trouble="{n} wanted to see what was on the other side of {the_p}, but [everybody said it was too far|nobody wanted to come along].", turn="{w}, {n} packed {ao} and set off alone. On the way {n} met a {f}, and [they shared a piece of bread|they told each other stories], so the road felt [short|half as long].", end="On the other side there was [nothing but another {f} who wondered the same thing|a quiet valley full of flowers]. They [laughed and became friends|stayed until the stars came out].", moral="a good companion makes every road shorter", short="{n} the {h} travelled past {the_p} with {ao}, and found a friend on the way."),
    dict(trouble="{n} had {ao} and was so proud of it that [nobody else was allowed to touch it|it stayed locked away].", turn="{w}, a {f} [knocked at the door|came by], cold and tired. {n} thought for a long time, and then [lent {the_o} to the {f}|said: take {the_o}, you need it more].", end="[From then on the two of them met at {the_p} every evening.|The next day the {f} came back with a cake, and they ate it together at {the_p}.]", moral="things are worth more when they are shared", short="{n} the {h} was proud of {ao}, and became happier by giving it to a cold {f}."),
    dict(trouble="{n} was afraid of {the_p}, because [strange noises came from it at night|everybody said that it was haunted].", turn="{w}, {n} took {ao}, held it tight and went inside. [Boo, said a voice.|Something moved in the dark.] It was only a {f}, who was [just as frightened|looking for company].", end="They [laughed until they cried|drank tea together], and {n} was never afraid of {the_p} again.", moral="most fears are smaller when you look at them", short="{n} the {h} was afraid of {the_p}, went in with {ao}, and met a harmless {f}."),
    dict(trouble="{w}, {n} found {ao} near {the_p}. [It did not belong to anyone.|It shone a little, as if it wanted to be found.]", turn="The {f} said: [keep it|sell it]. But {n} [went from door to door to find the owner|asked everybody who had lost it], until [a tired old woman|an old sailor|a small child] began to smile.", end="[That was mine, a long time ago|I had given up hope], came the answer. {n} went home with empty pockets and a warm heart." , moral="being honest feels better than having more", short="{n} the {h} found {ao} near {the_p} and gave it back to its owner."),
    dict(trouble="Every year there was a great race around {the_p}, and {n} had never won. [The {f} always laughed.|Most of the others were faster.]", turn="{w}, the race began. Halfway round, the {f} [fell into a ditch|got stuck in the mud]. {n} stopped, [threw a rope|used {ao} as a handle] and pulled until the {f} was free.", end="They crossed the line together, last of all, and [got the loudest cheer|were carried home on shoulders]. {the_o_cap} still hangs above the door.", moral="helping is better than winning", short="In a race around {the_p}, {n} the {h} stopped to help a {f}, and both were cheered."),
    dict(trouble="{n} could not sleep. [The wind howled around {the_p}.|The moon over {the_p} was too bright.]", turn="So {n} took {ao} and went for a walk. A {f} was awake too, [counting stars|listening to the wind]. They sat down, said little, and [watched the clouds|listened to the night].", end="[Before long both of them were asleep.|When the sun rose, the {f} was snoring softly and {n} was smiling.]", moral="quiet company is a good pillow", short="{n} the {h} could not sleep, and found a {f} near {the_p} to sit with."),
    dict(trouble="{n} dreamed of building {ao} bigger than any other, [right next to {the_p}|not far from {the_p}].", turn="{w}, the first try [fell over|broke into pieces], and the second as well. The {f} said: [smaller steps|start with one good piece]. So {n} began again, slowly, [piece by piece|day after day].", end="In the end it stood, a little crooked, and [everyone came to see it|it made {n} very proud].", moral="slow work lasts", short="{n} the {h} failed twice, then slowly built a great {o} at {the_p}."),
    dict(trouble="{w}, a stranger came to {the_p} with {ao} and said: [who can make me laugh may keep it|this is for the one who makes me laugh].", turn="The {f} told jokes, and the others danced, but the stranger [stayed silent|only yawned]. Then {n} tried to bow, slipped, and [rolled down the hill into a pile of hay|sat down in a bucket of water].", end="The stranger laughed for an hour, and {n} went home with {the_o} [and a wet coat|and a new friend].", moral="a little clumsiness can be a gift", short="{n} the {h} won {ao} at {the_p} by making a stranger laugh by accident."),
]  # fmt: skip
ASK = [
    "[tell|write|make up|give|invent|read] me a [story|short story|little story|tale|bedtime story|fairy tale|nice story|funny story|children's story|small story]", "Tell me a story.", "Tell me a short story.", "[a story|story|story please|short story|a short story please|bedtime story|story time|once upon a time]",
    "[can|could] you [tell|write|make up] [me |]a [story|short story|bedtime story]?", "I [want|would like|'d like] [a story|to hear a story|a bedtime story]", "do you know [a|any] [story|stories|good stories|fairy tales]?", "write a [short|] story", "[let's hear|let me hear] a story", "tell us a story", "write a one-sentence bedtime story", "make up a story", "I can't sleep, tell me a story", "tell something nice", "tell a tale", "got a story?", "can I have a [story|bedtime story|short story] [for my daughter|for my son|for the kids|now|]?", "my [son|daughter] wants [a story|a bedtime story]", "read me something", "how about a story?", "what about a story", "time for a story", "I love stories, tell me one", "another kind of story", "something to read", "a [funny|sad|short|nice|long|quick] story",
]  # fmt: skip
ASK_ABOUT = [
    "[tell|write|make up|give|read] me a [story|short story|little story|tale|bedtime story|fairy tale|funny story] about {x}", "[a story|story|short story|a tale|a short story|a bedtime story] about {x}", "[can|could] you [tell|write|make up] [me |]a [story|short story|tale] about {x}?", "I [want|would like|'d like] [a|to hear a] [story|short story] about {x}", "do you know [a|any] story about {x}?", "[write|invent|make] a [short |little |]story [about|with|of] {x}", "[tell|write] me [something|a few sentences] about {x}, as a story", "tell me a story with {x}", "story: {x}", "Write a one-sentence bedtime story about {x}.", "Tell me a story about {x}.", "Write a short story about {x}.", "make up a tale with {x} in it", "tell me a tale of {x}", "[I'd like|I want|I would love] to [read|hear] [a|some] [story|tale] about {x}", "short story, with {x}", "[have you got|is there] a story about {x}?", "my [son|daughter|kid|child] wants a [story|bedtime story] about {x}", "{x}: make a story of that", "a [funny|sad|short|nice] story where {x} appears", "story with {x}", "let {x} be in a story", "now a story about {x}", "what about a story with {x}?", "Tell me a three sentence bedtime story about {x}.",
]  # fmt: skip
ONSETS = "b br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v w wh y z zw".split() + [""]
VOWELS = "a e i o u a e i o u ai au ea ee ei ie oa oo ou y".split()
CODAS = "b ck d ff g l ll lt m mp n nd ng nk nt p r rd rk rn rt s sh sk st t th x z".split() + [""] * 22
ENDINGS = "son berg ix ette ina us o a er man ford ton ley vic sky ov ski ini elli ard ling by wick field stein mann ez as is um on ia av ette bert mund rick win wyn dra".split()


def syllable(rng):
    return rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)


def made_up(rng):
    """A word that nobody has heard of, so that the model learns to copy, or to decline, whatever it is given."""
    dice = rng.random()
    if dice < 0.55:
        return "".join(syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3))))
    if dice < 0.85:
        return "".join(syllable(rng) for _ in range(rng.choice((1, 1, 2)))) + rng.choice(ENDINGS)
    return rng.choice(OBJECTS + PLACES).split("-")[0][: rng.choice((3, 4, 5))] + rng.choice(ENDINGS)


def person_name(rng, known):
    """A first name, often one that the dialogues do not know, often close to one that they do."""
    dice = rng.random()
    if dice < 0.6:
        return rng.choice(known)
    if dice < 0.8:
        return capital(made_up(rng))
    return rng.choice(known)[: rng.choice((2, 3, 4))] + rng.choice(ENDINGS)


def noun(rng, known, made=0.0):
    """A known noun, or with the probability `made` one that nobody knows."""
    return made_up(rng) if rng.random() < made else rng.choice(known).replace("-", " ")


def build(rng, hero, place, obj, name=None):
    """The slots of a story and its plot."""
    plot = rng.choice(PLOTS)
    slots = dict(h=hero, p=place, o=obj, n=name or rng.choice(PROPER), t=rng.choice(TRAITS), f=rng.choice([f for f in HELPERS if f != hero]), w=rng.choice(WEATHER))
    slots.update(ap=article(place), ao=article(obj), the_p="the " + place, the_o="the " + obj, the_o_cap="The " + obj)
    return plot, slots


def paragraph(rng, plot, slots):
    text = " ".join(say(rng, [part], **slots) for part in (rng.choice(OPEN), plot["trouble"], plot["turn"], plot["end"]))
    return with_articles(text)


def story(talk):
    """A story about anything."""
    rng = talk.rng
    talk.ask(ASK)
    tell(talk, noun(rng, HEROES[:40]), noun(rng, PLACES[:30]), noun(rng, OBJECTS[:30]))


def story_about(talk):
    """A story about one to three given things, in any order and any role."""
    rng = talk.rng
    hero, place, obj = noun(rng, HEROES, 0.15), noun(rng, PLACES, 0.15), noun(rng, OBJECTS, 0.15)
    name = None
    dice = rng.random()
    if dice < 0.3 or 0.84 <= dice:  # only the hero is named
        place = noun(rng, PLACES)
    if dice < 0.62 or dice >= 0.84:
        obj = noun(rng, OBJECTS)
    if dice < 0.3:
        parts = [article(hero)]
    elif dice < 0.42:
        parts = [article(hero), article(place)]
        if rng.random() < 0.3:
            parts = [article(hero), "the " + place]
    elif dice < 0.62:
        parts = rng.choice(([article(hero), article(place)], [article(place), article(hero)]))
    elif dice < 0.72:
        parts = [article(hero), article(obj)]
    elif dice < 0.8:
        parts = [article(hero), article(place), article(obj)]
    elif dice < 0.84:
        parts = [article(place)] if rng.random() < 0.5 else [article(obj)]
    elif dice < 0.88:
        parts = [f"{rng.choice(('a', 'a', 'the'))} {rng.choice(TRAITS)} {hero}"]
    elif dice < 0.95:
        name = person_name(rng, PROPER + ["Sam", "Anna", "Max", "Lena", "Tom", "Emma", "Bob", "Alice"])
        parts = [f"{article(hero)} [called|named|whose name is|with the name] {name}"]
    else:
        parts = [hero + "s"] if not hero.endswith(("s", "x", "h", "f", "y", "n")) else [article(hero)]
    x = " and ".join(parts) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}"
    if dice < 0.4 and rng.random() < 0.15 and len(parts) == 1:
        x = hero
    if len(parts) == 2 and rng.random() < 0.1:
        x = say(rng, [f"{parts[0]} [in|at|near|who lives in|and also|that finds|with] {parts[1]}"])
    x = say(rng, [x])
    talk.ask(ASK_ABOUT, x=x)
    tell(talk, hero, place, obj, name)


def tell(talk, hero, place, obj, name=None):
    rng = talk.rng
    plot, slots = build(rng, hero, place, obj, name)
    asked = talk.turns[-1][1].lower()
    if "sentence" in asked:
        text = with_articles(say(rng, [plot["short"]], **slots))
    else:
        text = paragraph(rng, plot, slots)
    after(talk, text, plot, slots)


def after(talk, text, plot, slots):
    talk.reply(text, [another, another, lambda t: shorter(t, plot, slots), lambda t: details(t, plot, slots), lambda t: details(t, plot, slots), lambda t: details(t, plot, slots), lambda t: next_part(t, plot, slots), lambda t: next_part(t, plot, slots), lambda t: praise(t), lambda t: story_about(t)])


def another(talk):
    rng = talk.rng
    talk.ask(["[another|another one|another story|one more|one more story|more|again|next|a different one|a new one|tell me another|tell me another story|another one please|more stories|one more please|and another|nice, another one|I liked it, another one]"], polite=False)
    tell(talk, noun(rng, HEROES[:40]), noun(rng, PLACES[:30]), noun(rng, OBJECTS[:30]))


def shorter(talk, plot, slots):
    talk.ask(["[shorter|shorter please|make it shorter|too long|in short|a shorter one|tl;dr|summarise it|summarize the story|sum it up|can you make it shorter|the short version|in one sentence|summary|what was it about|what happened in the story|what is the story about|can you make that [a bit |]shorter|make that one shorter|shorter version please|what is it about, in short|tell it in one sentence|shorten it]"], polite=False)
    after(talk, with_articles(say(talk.rng, [plot["short"]], **slots)), plot, slots)


def details(talk, plot, slots):
    """A question about the story just told."""
    kind = talk.rng.randrange(6)
    h, n, p, o, f = (slots[k] for k in "hnpof")
    if kind == 0:
        talk.ask(["[what was|what is|what's] the [name of the {h}|{h} called|{h}'s name|name of the hero]?", "[who was|who is] {n}?", "what was the {h} called?", "what is the hero called?", "and what was the {h}'s name?", "the {h}, what was its name?", "who is the {h}?", "did the {h} have a name?"], polite=False, h=h, n=n)
        text = f"The {h} is called {n}." if "who" not in talk.turns[-1][1].lower() else f"{n} is the {h} in the story."
    elif kind == 1:
        talk.ask(["[what is|what's|what was] the moral?", "[what do we learn from it|what is the moral of the story|the moral?|and the moral|what does it teach|what is the lesson]?", "what [do we|can we|can I|should I|did we] [learn from this story|learn from it|learn from that|take from this]?", "[is there|does it have|does the story have] a moral?", "what does the story [teach|teach us|tell us|mean]?", "the lesson of the story?", "and what is the point of it?"], polite=False)
        text = f"The moral is: {plot['moral']}."
    elif kind == 2:
        talk.ask(["where [does|did] [it|the story] [happen|take place]?", "[where was that|where does {n} live|in which place is that|and where was it|where are they]?"], polite=False, n=n)
        text = f"It happens at the {p}."
    elif kind == 3:
        talk.ask(["[who helped|who else was in it|who else is in the story|who was the other animal|who did {n} meet]?"], polite=False, n=n)
        text = f"There was also {article(f)}."
    elif kind == 4:
        talk.ask(["[give it a title|what is the title|title?|does it have a title|what is it called|a title please|what would you call the story|name of the story]?"], polite=False)
        text = talk.rng.choice((f"\"{n} and the {capital(o)}\"", f"\"The {capital(h)} and the {capital(p)}\"", f"\"{n} at the {capital(p)}\""))
    else:
        talk.ask(["[is it a true story|is that true|did that really happen|is this real|did you make that up|did you write that|where is it from]?"], polite=False)
        text = "No, I made it up just now, out of a few building blocks that I know."
    after(talk, text, plot, slots)


def next_part(talk, plot, slots):
    talk.ask(["[what happens next|and then|go on|continue|continue the story|then what|what happened then|longer|make it longer|more of it|tell me more|and what happened after that|keep going|go on please]", "how does [it|the story] [go on|continue|end]?", "what [happened|happens] [next|after that|then|to {n}|in the end]?", "and [how does it go on|what then|what happened to {n}]?", "[tell me|write] [the next part|what happens next|how it goes on|the rest|more of the story|a second part]", "is there [more|a second part]?", "what did {n} do [then|next|after that]?"], polite=False, n=slots["n"])
    n, p, f = slots["n"], slots["the_p"], slots["f"]
    text = say(talk.rng, ["[The next day|A week later|Some time later], {n} [went back to {p}|met the {f} again] and [they had a picnic in the sun|told everyone what had happened|they planned a new adventure]. [And if they have not gone home, they are still there.|Everybody lived happily ever after.|But that is another story.]", "From then on, {n} and the {f} met [every evening|every Sunday|once a week] at {p}, and [never ran out of things to talk about|told the story again and again]."], n=n, p=p, f=f)
    after(talk, text, plot, slots)


def praise(talk):
    talk.ask(["[nice story|I liked it|that was nice|lovely|beautiful|great story|what a nice story|cute|sweet|good story|that was lovely|well told]"], polite=False)
    talk.answer(["Thank you! [Would you like another one?|Tell me two things, and I make a new story from them.]", "I am glad you liked it. [Shall I tell another?|Just say \"another one\".]"], [another_yes, another_yes, another])


def another_yes(talk):
    rng = talk.rng
    talk.ask(["[yes|yes please|sure|ok|okay|yeah|go on|please|yes, another one|yes do|of course]"], polite=False)
    tell(talk, noun(rng, HEROES[:40]), noun(rng, PLACES[:30]), noun(rng, OBJECTS[:30]))


POEMS = [
    "The {x} [was|stood|lay] quiet in the morning light,\nthe {x} was dreaming all through the night.\nAnd when the day was nearly done,\nthe {x} said goodbye to the sun.",
    "I saw a {x} one day in May,\nit [waved|smiled] at me and went its way.\nI called it back, I called it twice,\nfor a {x} like that is very nice.",
    "Oh {x}, oh {x}, so fine to see,\n[I wish you would come home with me|come sit a little while with me].\nThe road is long, the sky is wide,\nand I have room here by my side.",
    "A {x} can be big, a {x} can be small,\nsome people see none, some see them all.\nBut I have one wish, and it is true:\na {x} for me and a {x} for you.",
    "Softly, softly falls the rain,\nthe {x} is back at the window pane.\nCome in, come in, and close the door,\nand tell me of the world once more.",
]
HAIKUS = [
    "{X} in the cold rain,\nquiet as an empty road.\nMorning will come soon.", "Slow light on the hill.\n{X} and a single bird\nwait for the first sun.", "An old wooden door.\nBehind it, [so|very] small and still,\n{x} and the evening.",
]
ASK_POEM = ["[write|make|tell me|give me|compose|recite] a [poem|short poem|little poem|rhyme|verse] about {x}", "a [poem|rhyme] about {x}", "[can|could] you write a poem about {x}?", "poem about {x}", "write me a poem on {x}", "write me a [little|short|nice] [poem|rhyme] about {x}", "can I have a poem about {x}?", "make {x} into a poem", "a few lines about {x} that rhyme", "Write a short poem about {x}."]
ASK_HAIKU = ["[write|make|tell me|give me|compose] a haiku about {x}", "haiku about {x}", "a haiku on {x}", "Write a haiku about {x}."]


def poem(talk):
    rng = talk.rng
    thing = noun(rng, HEROES + PLACES + OBJECTS, 0.12) if rng.random() < 0.85 else rng.choice(("sea", "moon", "sun", "winter", "spring", "summer", "autumn", "rain", "snow", "love", "night", "friendship", "code", "programming", "recursion", "artificial intelligence", "Tokenmill", "time", "music"))
    bare = thing in ("winter", "spring", "summer", "autumn", "rain", "snow", "love", "friendship", "code", "programming", "recursion", "artificial intelligence", "Tokenmill", "time", "music")
    known = thing if bare else rng.choice((article(thing), "the " + thing)) if thing not in ("sea", "moon", "sun", "night") else "the " + thing
    haiku = rng.random() < 0.4 or bare
    if rng.random() < 0.15:
        talk.ask(["[write|make|tell me|give me] a [poem|short poem|rhyme]", "a poem", "poem please", "can you write poems?", "do you know a poem?"])
        haiku = False
    else:
        talk.ask(ASK_HAIKU if haiku else ASK_POEM, x=known)
        if bare:
            haiku = True
    X = capital(thing) if bare else "The " + thing
    x = thing if bare else "the " + thing
    if haiku:
        text = say(rng, HAIKUS, X=X, x=x)
    else:
        text = say(rng, POEMS, x=thing)
        text = with_articles(text)
    talk.reply(text, [poem_more, poem, praise_poem])


def poem_more(talk):
    talk.ask(["[another|another one|one more|another poem|again|more]"], polite=False)
    thing = noun(talk.rng, HEROES[:40] + PLACES[:30])
    text = say(talk.rng, POEMS, x=thing)
    text = with_articles(text)
    talk.reply(text, [poem_more])


def praise_poem(talk):
    talk.ask(["[nice|beautiful|nice poem|lovely|I like it|great|that is nice|well done]"], polite=False)
    talk.answer(["Thank you! [I only know a few rhymes, but I use them gladly.|Would you like another one?]"], [poem_more])


SKILLS = [(story, 6), (story_about, 16), (poem, 5)]
