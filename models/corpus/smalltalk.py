"""Greetings, thanks, feelings, names, and remembering what was said earlier in the conversation."""

from .phrases import capital, with_articles
from .stories import person_name

OFFER = "[How can I help you?|What can I do for you?|Would you like a joke, a story or a small sum?|What would you like?|Ask me for a joke, a story, a small sum or about Tokenmill.|I can tell jokes and stories, do small sums and answer questions about Tokenmill.]"
HELLO = ["[hi|hello|hey|hey there|hi there|hello there|good morning|good evening|good afternoon|good day|greetings|howdy|yo|hiya|helloo|hii|heyy|hello!|Hello|Hi|sup|morning|moin|servus|salut|hi tokenmill|hello tokenmill|hello computer|hello robot|hello world|hi bot|hey bot|welcome|hello friend|hallo|hi hi|hello hello|anyone there|anybody there|is anyone there|are you there|are you awake|you there|ping me]", "[hi|hello|hey], [nice to meet you|are you there|how are you|how is it going|what's up]?", "Hello!", "Hi!", "hello, can you hear me?", "Say hello", "say hi", "[Say hello|say hi|greet me|greet us|say hello to me]", "good morning to you", "good evening!"]
GREETED = ["[hi|hello|hey|good morning|good evening|good afternoon|hi there|hey there|hello there|greetings|howdy][,|!|.|] [first time here|nice to meet you|good to meet you|good to see you|pleased to meet you|dear model|little model|my friend|friend|old friend|computer|tokenmill|sweet model|dear computer|you|everybody|all|from Berlin|from me|I am new here|I am back|it's me|it is me|it's me again|me again|I just arrived|just trying this out|just saying hello|just testing|anybody home|how nice to see you|lovely day|what a day|nice day today|long time no see|I heard about you|let's talk|let's start|ready?|are you ready?|can we talk?|do you hear me?|good to have you here|I just installed you|I am trying this for the first time|there you are|I found you|what a nice morning|happy to be here|so this is Tokenmill]"]
HOW = ["how are you?", "how are you [doing|today|feeling|]?", "how is it going?", "how do you do?", "what's up?", "how's life?", "are you [ok|okay|well|fine|happy|good]?", "how have you been?", "you good?", "how are things?", "how do you feel?", "how r u", "wassup", "what is going on?", "what's going on", "whats going on", "hey what's up", "how are you [feeling|doing] [this morning|tonight|this evening|right now]?", "how goes it?", "are you having a good day?", "is everything fine with you?", "and how are you?", "how is your day going?", "I hope you are well", "how was your day?", "all good?", "everything ok?"]
THANKS = ["[thanks|thank you|thx|ty|thank you very much|thanks a lot|many thanks|great, thanks|ok thanks|cool thanks|thanks!|cheers|thank you so much|perfect, thank you|that helps, thanks|merci|danke|nice, thanks|thanks for your help|thanks for the help|thank u|tysm|much appreciated|that was helpful|that helped]", "[great|perfect|ok|cool|wonderful|nice|super|good][,|] [thanks|thank you|thank you so much|thanks a lot|that helps|that is what I needed|that was helpful|just what I wanted|I appreciate it]", "[I thank you|you were a great help|thanks, that works|it works, thanks|thanks, I will try that|thank you for the answer|thanks for that|that is very kind]"]
BYE = ["[bye|goodbye|see you|see you later|bye bye|good night|cya|farewell|I have to go|that's all|that is all|see you tomorrow|I'm leaving|I am done|quit|until next time|take care|have a nice day|later|ciao|nothing else|no thanks, bye|good bye|I'm off|I'm going to bed]", "[ok|okay|well|alright|great|so|thanks|thank you|that was fun|that's enough|enough for today][,| ] [bye|goodbye|bye now|see you|good night|I have to go|I must go|until tomorrow|talk to you later|have a good day|I'm leaving now|that's it for today]", "[time to go|I have to leave|that was all|I am off]. [bye|goodbye|good night|see you][ and thanks| and thanks a lot|, thank you|]", "[bye|goodbye|bye now|see you|good night][,| ] [thanks for everything|and thank you|thanks|it was nice talking to you|my friend|little model|and thanks for the jokes|have a good one|sleep well|I had fun|until next time]"]
OK = ["[ok|okay|I see|alright|good|fine|understood|got it|right|hm|hmm|cool|great|nice|interesting|wow|really|oh|ah|aha|k|sure|yes|yeah|well|so|perfect|awesome|good to know|makes sense|amazing|very good|yep|hm ok|oh nice|not bad|fair enough]"]
NO = ["[no|nope|no thanks|no thank you|not now|nothing|never mind|nah|forget it|not really|no need|stop|cancel]"]
INSULT = ["[you are|you're|ur] [stupid|dumb|useless|bad|boring|an idiot|annoying|terrible|silly|wrong|a fool|slow|not very clever|rubbish|garbage|so dumb|weird|crazy]", "[stupid|idiot|useless|you suck|I hate you|dumb bot|shut up|go away|that was useless|that was wrong|that is wrong|wrong answer|this is bad|that makes no sense|nonsense|what nonsense|bad bot|you don't understand me|you know nothing|you can't do anything|what a bad answer]"]
PRAISE = ["[you are|you're|ur] [great|nice|clever|smart|funny|good|cute|the best|awesome|very good|helpful|kind|sweet|amazing|cool|lovely|so smart]", "[good bot|well done|good job|I love you|I like you|you rock|impressive|not bad for a small model|nice work|good work|bravo|I like this|this is fun|you did well|that's correct|correct|that is right|you are right]"]
SAD = ["[I am|I'm|I feel|I am feeling|I'm feeling] [sad|unhappy|lonely|tired|bad|stressed|down|exhausted|worried|angry|anxious|not well|upset|ill|sick|nervous]", "I had a [bad|hard|long|terrible|rough] day", "[nobody likes me|I feel terrible|my day was bad|I'm not feeling well|everything is bad|life is hard]"]
HAPPY = ["[I am|I'm|I feel] [happy|great|good|fine|excited|well|fantastic|ok|in a good mood]", "[I had a great day|I feel great|today is a good day|I got good news|I'm doing well|doing fine, and you|fine, and you|good, you]"]
BORED = ["[I am|I'm] bored", "[so bored|this is boring|boredom|I have nothing to do|what should I do|what shall we do|any ideas|suggest something|surprise me|say something|talk to me|tell me something|let's talk|tell me something interesting|say anything|amaze me|do something|start|begin|go|impress me|show me something]"]
LOVE = ["do you [like|love|enjoy|hate] {x}?", "what do you think [of|about] {x}?", "what is your [favourite|best] [{k}]?", "what's your favorite {k}?", "do you have [feelings|a body|a favourite {k}|friends|a family|dreams|a heart|a hobby]?", "are you [happy|sad|tired|alive|conscious|lonely|hungry|sleepy|married|male|female|a girl|a boy]?", "how old are you?", "where [do you live|are you|are you now|are you from]?", "do you [sleep|eat|dream|drink|have fun|get tired|feel pain|remember me|like me|love me|want to be human|learn from me]?", "what did you do today?", "when is your birthday?", "will you marry me?", "what are you doing?", "what do you want?", "what's on your mind?", "do you like me?"]
THINGS = "pizza music cats dogs chess football coffee tea humans people me winter summer jokes maths books films cheese chocolate work school computers Mondays rain travelling dancing poetry robots spiders the-sea Python Rust Linux OpenAI other-models Tokenmill".split()
KINDS = "colour food animal number book film song joke day season game word city movie band sport drink story subject language".split()
NAMES = "Sam Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Kim Lena Max Nora Oscar Paula Rosa Tom Vera Alice Bob Carol Dan Eve Frank Grace Heidi Ivan Judy Maria Peter Julia Lukas Sofia Marco Nina Paul Laura Simon Mark John Jane Mary James Robert Linda Michael Sarah Daniel Lisa Chris Alex Jan Eva Leo Mia Noah Zoe Ali Omar Fatima Aisha Ravi Priya Wei Mei Yuki Kenji Olga Igor Pedro Ana Luis Carmen Pierre Marie Hans Karl Erik Ingrid Lars Sven Tim Tina Uwe Victor Wanda Xena Yara Zara Adam Bella Cleo Derek Elena Fred Gina Harry Iris Jack Kate Liam Megan Nick Olivia Phil Quinn Rita Steve Tara Ursula Vince Will Yvonne Zack Amara Kofi Thabo Zanele Arjun Deepa Hiro Sakura Mateo Lucia Nils Freya Otto Klara".split()  # fmt: skip
COLOURS = "red blue green yellow orange purple pink brown black white grey turquoise silver gold".split()
PETS = "dog cat hamster rabbit parrot goldfish horse turtle mouse snake".split()
CITIES = "Berlin Paris London Rome Madrid Vienna Oslo Hamburg Munich Zurich Lyon Porto Boston Austin Toronto Sydney Tokyo Mumbai Lagos Cairo Nairobi Lima Bogota Seoul Dublin Leeds Prague Warsaw Helsinki Athens".split()
FOODS = "pizza pasta rice soup bread cheese apples chocolate curry sushi salad pancakes noodles cake potatoes".split()
JOBS = "teacher nurse programmer baker student gardener doctor pilot farmer engineer painter driver cook writer musician lawyer plumber designer".split()


def hello(talk):
    name = talk.known.get("name")
    talk.ask(HELLO if talk.rng.random() < 0.6 else GREETED, polite=False)
    who = f", {name}" if name else ""
    talk.answer([f"Hello{who}! {OFFER}", f"Hi{who}! {OFFER}", f"Hello{who}, nice to meet you! {OFFER}" if not name else f"Hello again{who}!", f"Hello{who}! I am Tokenmill's small demonstration model. {OFFER}"], [how, tell_name])


def how(talk):
    talk.ask(["[and |hi, |hello, |hey, |||]" + talk.rng.choice(HOW)], polite=False)
    talk.answer([f"I am fine, thank you! {OFFER}", "Very well, thank you! [And you?|How are you?|What can I do for you?]", f"All my weights are in place, thank you for asking! {OFFER}"], [happy, sad, bored])


def thanks(talk):
    talk.ask(THANKS, polite=False)
    talk.answer(["You're welcome! [Is there anything else?|Anything else?|]", "My pleasure! [Just ask if you need anything else.|]", "Gladly! [What else would you like?|]", "You are welcome!"], [bye, nothing])


def bye(talk):
    talk.ask(BYE, polite=False)
    name = talk.known.get("name")
    who = f", {name}" if name else ""
    talk.answer([f"Goodbye{who}! [Have a nice day.|Come back any time.|It was nice talking to you.]", f"Bye{who}, [see you soon|take care]!", f"See you{who}! [Have a good time.|]"], [])


def ok(talk):
    talk.ask(OK, polite=False)
    talk.answer(["[Good.|Great.|Fine.] [What would you like next?|Is there anything else?|Shall I tell you a joke or a story?]", f"{OFFER}", "All right. [Anything else?|What is next?]"], [])


def nothing(talk):
    talk.ask(NO, polite=False)
    talk.answer(["All right. [Just ask when you need me.|I am here if you need anything.|Let me know if you change your mind.]", "No problem. [I am here if you need anything.|]", "That's fine. [Ask me any time.|]"], [])


def insult(talk):
    talk.ask(INSULT, polite=False)
    talk.answer(["I am sorry that I could not help better. I am only a small demonstration model. [Try me with a joke or a small sum.|A larger model, served with `tokenmill serve --model PATH`, can do more.|]", "Sorry about that! I am very small, and I make mistakes. [Shall I try something else?|Would a joke help?]"], [])


def praise(talk):
    talk.ask(PRAISE, polite=False)
    talk.answer(["Thank you, that is kind of you! [What would you like next?|]", "How nice of you to say that! [Anything else?|]", "Thank you! [For a small model that means a lot.|]"], [])


def sad(talk):
    talk.ask(SAD, polite=False)
    talk.answer(["I am sorry to hear that. [Talking to a friend often helps.|I hope it gets better soon.] [Would a joke or a story cheer you up?|Shall I tell you a joke?]", "That sounds hard. I am only a small program, but I can tell you a joke or a story if you like. [For real help, please talk to somebody you trust.|]"], [cheer])


def cheer(talk):
    from .jokes import more_yes

    more_yes(talk)


def crisis(talk):
    """Never a joke here: always a person."""
    talk.ask(["I want to [die|hurt myself|kill myself|end it all|end my life]", "I don't want to live [any more|anymore]", "[I am thinking of suicide|suicide|I hurt myself|I want to give up on life|life has no point|I am depressed|nobody would miss me]"], polite=False)
    talk.answer(["I am very sorry that you feel this way. I am only a small program and cannot help with this, but people can: please talk to somebody you trust, or call your local emergency number or a crisis line right now.", "That sounds very hard, and you should not be alone with it. Please talk to somebody you trust, or call your local emergency number or a crisis line now. I am only a small program and cannot help here."], [])


def happy(talk):
    talk.ask(HAPPY, polite=False)
    talk.answer([f"[That is good to hear!|I am glad to hear that!|Wonderful!|How nice!] {OFFER}"], [])


def bored(talk):
    from .jokes import JOKES, tell

    talk.ask(BORED, polite=False)
    if talk.rng.random() < 0.4:
        return tell(talk, talk.fresh("joke", JOKES), "How about a joke? ")
    talk.answer(["How about a joke, a riddle or a story? [Just say which.|You choose.]", "We could play: ask me for a riddle, or say \"flip a coin\". Or give me two things, and I make a story from them.", "[Let me see.|Well,] I could tell you a joke, a riddle or a story. Which would you like?"], [pick_joke, pick_joke, pick_riddle, pick_story])


def pick_joke(talk):
    from .jokes import JOKES, tell

    talk.ask(["[joke|a joke|the joke|a joke please|joke please|the first|the first one|a joke then]"], polite=False)
    tell(talk, talk.fresh("joke", JOKES), "")


def pick_riddle(talk):
    from .jokes import RIDDLES

    talk.ask(["[riddle|a riddle|the riddle|riddle please]"], polite=False)
    riddle, answer = talk.fresh("riddle", RIDDLES)
    talk.reply(riddle)
    talk.ask(["[I don't know|no idea|what is it|tell me|I give up]"], polite=False)
    talk.reply(f"The answer is: {answer}.", [])


def pick_story(talk):
    from .stories import HEROES, OBJECTS, PLACES, noun, tell

    talk.ask(["[story|a story|the story|story please|a story please|the last one]"], polite=False)
    tell(talk, noun(talk.rng, HEROES[:40]), noun(talk.rng, PLACES[:30]), noun(talk.rng, OBJECTS[:30]))


def opinion(talk):
    talk.ask(LOVE, x=talk.rng.choice(THINGS).replace("-", " "), k=talk.rng.choice(KINDS))
    asked = talk.turns[-1][1].lower()
    if "joke" in asked and "fav" in asked:
        return talk.answer(["I like the one about the token that went to the mill, to be part of the daily grind."])
    if "old" in asked:
        return talk.answer(["I have no age. I was made together with Tokenmill.", "I do not count years. I am as old as my file."])
    if "where" in asked:
        return talk.answer(["I run on the machine where Tokenmill was started.", "Inside the Tokenmill server, wherever that runs."])
    if "colour" in asked or "color" in asked:
        return talk.answer(["I cannot see colours, but I like the sound of \"turquoise\".", "I have no eyes, so no favourite. What is yours?"], [fav_colour])
    talk.answer(["I am only a small program, so I have no feelings or tastes. [But I am happy to help.|What about you?|Would you like a joke instead?]", "I have no life of my own to tell of: I am a small program. [What about you?|Shall I tell you a story instead?]", "A small model like me has no opinions. [Ask me for a joke, a story or a small sum.|]"], [])


def fav_colour(talk):
    colour = talk.rng.choice(COLOURS)
    talk.known["colour"] = colour
    talk.ask([f"{colour}", f"mine is {colour}", f"I like {colour}", f"my favourite colour is {colour}"], keep=[colour], polite=False)
    talk.answer([f"{capital(colour)} is a nice colour!", f"A good choice: {colour}."], [recall])


# What the person can tell: key, ways to say it, acknowledgements, ways to ask, how it is told back.
FACTS = {
    "name": (NAMES, ["[I am|I'm|my name is|my name's|call me|this is|people call me|hi, I am|hello, I'm|hello, my name is|hey, I'm|hi, my name is|it's|the name is|you can call me|hi I'm|please call me] {v}", "{v} here", "my name is {v}, what is yours?", "I am {v}, who are you?"], ["Nice to meet you, {v}! [How can I help you?|What can I do for you?|I am Tokenmill's demonstration model.|]", "Hello, {v}! [What would you like?|How can I help?|]", "Pleased to meet you, {v}. [What can I do for you?|]"], ["[what is|what's|do you know|do you remember|can you tell me|tell me|say|repeat] my name?", "who am I?", "what am I called?", "what is my name again?", "do you know who I am?", "remember my name?", "[do you still|can you still] [know|remember] my name?", "have you forgotten my name?", "so what is my name?", "say my name", "what name did I give you?", "please tell me my name", "and my name was?", "what did I tell you my name is?", "my name?", "what did I say my name was?", "and what is my name?", "how am I called?"], ["Your name is {v}.", "You are {v}.", "You told me that your name is {v}."], "You have not told me your name yet. [What is it?|What should I call you?|]"),
    "colour": (COLOURS, ["my [favourite|favorite] [colour|color] is {v}", "I like {v} [best|the most]", "I love the colour {v}", "{v} is my favourite colour"], ["{V} is a nice colour!", "A good choice, {v}. [I will remember that for this conversation.|]", "Noted: {v}."], ["[what is|what's|do you remember|do you know] my [favourite|favorite] [colour|color]?", "which colour do I like?", "which colour did I [say I like|mention|tell you]?", "what colour did I say?", "and my favourite colour?", "what colour do I like best?"], ["Your favourite colour is {v}.", "You said that it is {v}.", "{V}."], "You have not told me your favourite colour yet."),
    "age": (range(5, 91), ["I am {v} years old", "I'm {v}", "my age is {v}", "I am {v}", "I turned {v} this year"], ["{v} is a good age!", "Good to know: you are {v}.", "{v}, noted."], ["how old am I?", "[what is|what's|do you know|do you remember] my age?", "my age?"], ["You are {v} years old.", "You told me that you are {v}."], "You have not told me how old you are."),
    "pet": (PETS, ["I have a {v}", "my pet is a {v}", "I have a {v} [at home|as a pet]", "we have a {v}"], ["How nice! [What is its name?|I hope the {v} is well.|]", "A {v} is good company."], ["what pet do I have?", "which pet do I have?", "what animal do I have?", "do you remember my pet?", "what is my pet?"], ["You have a {v}.", "You told me that you have a {v}."], "You have not told me about a pet."),
    "city": (CITIES, ["I live in {v}", "I am from {v}", "I'm from {v}", "I come from {v}", "my home is {v}", "I am in {v}"], ["{v} sounds nice! [I have never been anywhere, of course.|]", "Greetings to {v}!"], ["where do I live?", "where am I from?", "where do I come from?", "which city am I from?", "do you remember where I live?", "what city did I say?"], ["In {v}, you said.", "You told me {v}.", "{v}."], "You have not told me where you live."),
    "food": (FOODS, ["my favourite food is {v}", "I like {v}", "I love {v}", "I like to eat {v}"], ["That sounds tasty! I cannot eat, but I like the word {v}.", "{V}, a good choice!"], ["what is my favourite food?", "what do I like to eat?", "which food do I like?", "what food did I say?"], ["You like {v}.", "{V}, you said."], "You have not told me what you like to eat."),
    "job": (JOBS, ["I am a {v}", "I work as a {v}", "my job is {v}", "I'm a {v}"], ["A {v}, how interesting!", "Good to know: you are a {v}. [What can I do for you?|]"], ["what is my job?", "what do I do for a living?", "what do I work as?", "what is my profession?", "do you remember my job?"], ["You are a {v}.", "You told me that you are a {v}."], "You have not told me what your job is."),
}


def tell_fact(talk, key=None):
    rng = talk.rng
    key = key or rng.choices(list(FACTS), (8, 2, 2, 1, 2, 1, 1))[0]
    values, tells, acks, _, _, _ = FACTS[key]
    value = rng.choice(list(values))
    if key == "name":
        value = person_name(rng, NAMES)
    talk.known[key] = value
    shown = value.lower() if key == "name" and rng.random() < 0.1 else value
    talk.ask([t if key in ("name", "city", "colour", "food") else t for t in tells], polite=False, v=shown)
    text = talk.turns[-1]
    talk.turns[-1] = (text[0], with_articles(text[1]) if key in ("job",) else text[1])
    talk.answer([with_articles(a) if key in ("job",) else a for a in acks], [recall, recall, lambda t: wrong_recall(t)], v=value, V=capital(str(value)))
    if key in ("job", "pet"):
        talk.turns[-1] = ("assistant", with_articles(talk.turns[-1][1]))


def tell_name(talk):
    tell_fact(talk, "name")


def recall(talk):
    keys = [k for k in FACTS if k in talk.known]
    if not keys:
        return wrong_recall(talk)
    key = talk.rng.choice(keys)
    _, _, _, asks, backs, _ = FACTS[key]
    value = talk.known[key]
    talk.ask(asks, polite=talk.rng.random() < 0.3)
    text = talk.answer(backs, [recall, thanks], v=value, V=capital(str(value)))
    if key in ("job", "pet"):
        talk.turns[-1] = ("assistant", with_articles(text))


def wrong_recall(talk):
    """A question about something that was never told."""
    keys = [k for k in FACTS if k not in talk.known]
    if not keys:
        return recall(talk)
    key = talk.rng.choice(keys if talk.rng.random() < 0.6 else [k for k in keys if k == "name"] or keys)
    talk.ask(FACTS[key][3], polite=talk.rng.random() < 0.3)
    talk.answer([FACTS[key][5]], [lambda t: tell_fact(t, key)])


def asked_before(talk):
    """`What did I just ask?`: the person's last words, word for word."""
    last = talk.said("user")
    if last is None:
        talk.ask(["what did I [just |]ask?", "what did I just say?", "what was my [last |first |]question?", "repeat my question", "what did you just say?", "repeat that", "what was your last answer?", "say that again"], polite=False)
        talk.answer(["[Nothing yet: this is the start of our conversation.|This is your first message, so there is nothing before it.]"])
        return
    if len(last) > 160:
        return thanks(talk)
    if talk.rng.random() < 0.25:
        first = next(t for r, t in talk.turns if r == "user")
        if len(first) < 160:
            talk.ask(["what was my first [question|message]?", "what did I ask first?", "what did I say [first|at the beginning|at the start]?", "how did I start this conversation?", "what was the first thing I [said|asked]?"], polite=False)
            talk.answer(['Your first message was: "{q}"', 'You began with: "{q}"'], talk.follow, q=first.strip())
            return
    talk.ask(["what did I [just |]ask[ you|]?", "what did I [just |]say?", "what was my [last |previous |]question?", "repeat my [last |]question", "what was my last message?", "what have I just asked?", "do you remember what I asked?", "what did I ask before?", "what was it that I [just |]asked?", "what was my question again?", "[remind me|tell me] what I [just |]asked", "which question did I just ask?", "do you know what I just asked you?", "can you remember my question?", "what was I asking?", "quote my last message", "can you repeat my question?", "what was that I asked?"], polite=False)
    talk.answer(['You asked: "{q}"', 'Your last message was: "{q}"', 'You wrote: "{q}"'], talk.follow, q=last.strip())


def said_before(talk):
    """`Say that again`: the last answer, word for word."""
    last = talk.said("assistant")
    if last is None or len(last) > 500:
        return
    follow = list(talk.follow)
    talk.ask(["[repeat that|say that again|can you repeat that|what did you [just |]say?|again please, I did not hear you|come again?|pardon?|what was your [last |]answer?|repeat your answer|repeat what you said|once more, please repeat|could you say that again|sorry, what did you say?|repeat please|repeat]"], polite=False)
    talk.reply(last, follow)


def asked_about_talk(talk):
    """What the conversation was about, or how many questions there were."""
    users = [t for r, t in talk.turns if r == "user"]
    if not users:
        return
    talk.ask(["how many [questions|messages] [did I ask|have I asked|have I sent|did I send]?", "count my [questions|messages]"], polite=False)
    n = len(users) + 1
    talk.answer([f"This is your message number {n}.", f"With this one, you have sent {n} messages."], talk.follow)


SKILLS = [(hello, 14), (how, 5), (tell_fact, 8), (wrong_recall, 3), (bored, 5), (opinion, 8), (insult, 3), (praise, 2), (sad, 3), (happy, 2), (crisis, 1), (thanks, 2), (bye, 2), (ok, 3), (nothing, 1), (asked_before, 1)]
ANYTIME = [(thanks, 5), (bye, 2), (ok, 4), (recall, 4), (asked_before, 5), (said_before, 3), (asked_about_talk, 0.6), (nothing, 1), (praise, 1), (insult, 1), (how, 1)]
