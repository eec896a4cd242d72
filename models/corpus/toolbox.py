"""Kinds of functions. Each kind makes one, with names and words that vary, and requests that it answers.

A kind is a function of `rng` that gives (tool, request); `request()` gives a `Case`. The model must read the list: the same question is
asked with other names, other parameters and other functions beside it.
"""

import json
from dataclasses import dataclass, field

from .phrases import capital, expand
from .sums import words as in_words
from .tool_list import Tool
from .values import CITIES, FOODS, LANGUAGES, city, clock, day, invented, joined, number, people, person, thing


@dataclass
class Case:
    """A request: templates, the values in them, the call's arguments, what comes back, and answers to that."""

    ask: list
    arguments: dict
    result: str
    answers: list
    slots: dict = field(default_factory=dict)
    later: list = field(default_factory=list)  # the same, asked after such a call


def as_json(rng, pairs, plain):
    """A result as functions give it: mostly an object, else a sentence."""
    return json.dumps(pairs, ensure_ascii=False) if rng.random() < 0.6 else plain


def optional(rng, chance=0.5):
    return rng.random() < chance


SKIES = "sunny cloudy rainy windy foggy snowy clear stormy overcast".split() + ["light rain", "partly cloudy", "heavy rain", "thunderstorms"]


def weather(rng):
    place = rng.choice(("city", "city", "city", "location", "place", "town", "where", "city_name"))
    name = rng.choice(("get_weather", "get_weather", "get_weather", "weather", "current_weather", "get_current_weather", "weather_in", "fetch_weather", "get_forecast", "getWeather", "forecast", "WeatherLookup"))
    about = rng.choice(("The weather of a city", "Get the weather", "Get current weather for a place", "Get the current weather in a given location", "Weather right now", "Current temperature for a given city", "Returns the forecast", ""))
    parameters = [(place, "string", False, rng.choice(("", "", "The city", "Name of the city", "The city and country, e.g. Paris, France", "Where")))]
    units, days = rng.choice(("unit", "units", "scale")), rng.choice(("days", "n_days"))
    has_units, has_days = optional(rng, 0.3), optional(rng, 0.2)
    units_optional, days_optional = optional(rng, 0.7), optional(rng, 0.5)
    if has_units:
        parameters.append((units, rng.choice(("celsius|fahrenheit", "celsius|fahrenheit", "string")), units_optional, ""))
    if has_days:
        parameters.append((days, "integer", days_optional, rng.choice(("", "How many days"))))

    def request():
        where, slots = city(rng), {}
        arguments, tail = {place: where}, ""
        if has_units:
            scale = rng.choice(("celsius", "fahrenheit"))
            if optional(rng, 0.5):
                tail, arguments[units] = f" [in {scale}|in degrees {scale}|, in {scale}]", scale
            elif not units_optional:
                arguments[units] = "celsius"
        if has_days:
            n = rng.randint(2, 7)
            if not tail and optional(rng, 0.5):
                tail, arguments[days] = " [for|for the next|over the next] {n} days", n
                slots["n"] = n
            elif not days_optional:
                arguments[days] = 1
        degrees, sky = rng.randint(-12, 38), rng.choice(SKIES)
        first = rng.choice(("temperature", "temp", "degrees", "temp_c"))
        result = as_json(rng, {first: degrees, rng.choice(("condition", "sky", "conditions", "weather")): sky}, rng.choice((f"{degrees} degrees, {sky}", f"{degrees} degrees and {sky}", f"{sky}, {degrees} degrees", f"{degrees}°C, {sky}")))
        asks = ["[what is|what's|how is|how's|tell me|show me|get me|check|look up] the weather [in|in|in|like in|for|of] {where}" + tail + "[?|]", "weather [in|for|] {where}" + tail, "what [is|will] the weather [like|be like|be|] in {where}" + tail + "?", "is it [raining|cold|warm|sunny|snowing|hot|windy|nice] in {where}[ today| now| right now|]" + tail + "?", "do I need [an umbrella|a coat|a jacket|sunglasses] in {where}[ today|]" + tail + "?", "[how warm|how cold|how hot] is it in {where}" + tail + "?", "[what's the|what is the|] temperature in {where}" + tail + "?", "I [am going|travel|fly|am travelling] to {where}, [how is the weather|what's the weather like|what will the weather be]" + tail + "?", "[can you check|please check|could you look up] the [weather|forecast|temperature] [in|for] {where}" + tail + "[?|]",
            "[what is|what's|show me|give me|check|] {where}'s [weather|forecast|temperature]" + tail + "[?|]", "[weather forecast|forecast|weather report|the weather report] [in|for|of] {where}" + tail + "[, quick|, if you can|]", "{where}: [what is the weather|is it warm|is it raining|how warm is it|do I need a coat|is it windy]" + tail + "?", "[check|see|look|I wonder|do you know] how [warm|cold|hot|windy|wet] [{where} is|it is in {where}|it gets in {where}]" + tail + "[ today| right now|][?|]", "how [does it look|is it|are things] [outside|out there|out] in {where}" + tail + "?", "[I will be|we are|my sister lives] in {where}[ next week| tomorrow|]. [Is it warm|How cold is it|What is the weather|Does it rain|Is there snow] there" + tail + "?"]
        answers = ["In {where} it is {degrees} degrees and {sky}.", "It is {degrees} degrees and {sky} in {where}.", "The weather in {where}: {degrees} degrees, {sky}."]
        return Case(asks, arguments, result, answers, {"where": where, "degrees": degrees, "sky": sky, **slots}, [] if tail else ["[and|what about|how about|and what about|and the same for] [in |]{where}?", "and [in|for] {where}", "[now|then|next] {where}"])

    return Tool(name, about, parameters), request


def time_of(rng):
    place = rng.choice(("city", "place", "location", "timezone", "where"))
    tool = Tool(rng.choice(("get_time", "current_time", "time_in", "get_local_time", "clock", "now_in")), rng.choice(("The local time of a city", "What time it is somewhere", "Get the current time", "Local time")), [(place, "string", False, "")])

    def request():
        where, now = city(rng), clock(rng)
        return Case(["what time is it in {where}[ now| right now|]?", "[what's|what is|tell me|get me] the [local |current |]time in {where}[?|]", "time in {where}", "[how late|how early] is it in {where}?", "what does the clock say in {where}?", "{where}'s time[, please|][?|]", "[what|which] time do [they|people|we] have in {where}[ now|]?", "is it [late|early|still day|already morning|already night] in {where}? [What time is it there|What is the time there|How late is it there]?", "{where}: what [time is it|does the clock say|do the clocks show]?", "[check|look at] the clock [in|of] {where}", "[do you know|I wonder|find out] [what time it is|how late it is] in {where}[?|]"], {place: where}, as_json(rng, {rng.choice(("time", "local_time", "now")): now}, now), ["It is {now} in {where}.", "In {where} it is {now}."], {"where": where, "now": now}, ["[and|what about|and what about] [in |]{where}?"])

    return tool, request


SIGNS = {"add": ("+", ["plus", "and"]), "subtract": ("-", ["minus"]), "multiply": ("×", ["times", "multiplied by"])}


def arithmetic(rng):
    """add(a, b) and its like: numbers of any size, since the function does the sum."""
    kind = rng.choice(sorted(SIGNS))
    x, y = rng.choice((("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("a", "b")))
    name = rng.choice({"add": ("add", "sum", "plus", "add_numbers"), "subtract": ("subtract", "minus", "difference"), "multiply": ("multiply", "times", "product", "multiply_numbers")}[kind])
    about = rng.choice({"add": ("Add two numbers", "The sum of two numbers", "Adds numbers"), "subtract": ("Subtract the second number from the first", "The difference of two numbers"), "multiply": ("Multiply two numbers", "The product of two numbers")}[kind])
    tool = Tool(name, about, [(x, rng.choice(("number", "integer")), False, ""), (y, rng.choice(("number", "integer")), False, "")])

    def request():
        a, b = number(rng), number(rng)
        result = {"add": a + b, "subtract": a - b, "multiply": a * b}[kind]
        sign, spoken = SIGNS[kind]
        spoken = rng.choice([*spoken, sign if sign != "×" else "*", sign])
        one, two = (in_words(a), in_words(b)) if max(a, b) < 20 and optional(rng, 0.1) else (a, b)
        order = {"add": "[add {a} and {b}|the sum of {a} and {b}|add {a} to {b}|add up {a} and {b}]", "subtract": "[{a} take away {b}|the difference of {a} and {b}]", "multiply": "[multiply {a} by {b}|multiply {a} and {b}|multiply {a} with {b}|the product of {a} and {b}|take {a} times {b}]"}[kind]
        if kind == "add" and "to {b}" in order:
            order = rng.choice(("add {a} and {b}", "what is the sum of {a} and {b}?", "add up {a} and {b}", "sum {a} and {b}", "[can|could] you add {a} and {b}[ for me|]?", "[put|take] {a} and {b} together", "{a} and {b}, added up"))
        return Case(["[what is|what's|how much is|calculate|compute|] {a} " + spoken + " {b}[?|]", "[I want to know|I need|tell me|work out] {a} " + spoken + " {b}", order], {x: a, y: b}, as_json(rng, {"result": result}, str(result)), ["{a} " + sign + " {b} = {r}.", "The result is {r}.", "That is {r}."], {"a": one, "b": two, "r": result}, ["and {a} " + spoken + " {b}?"])

    return tool, request


def calculator(rng):
    name = rng.choice(("calculator", "calculate", "evaluate", "calc", "math"))
    where = rng.choice(("expression", "expr", "formula", "input"))
    tool = Tool(name, rng.choice(("Evaluates an arithmetic expression", "A calculator", "Calculate a formula", "Does sums")), [(where, "string", False, "")])

    def request():
        a, b, sign = number(rng), number(rng), rng.choice("+-*")
        text = f"{a} {sign} {b}" if optional(rng, 0.6) else f"{a}{sign}{b}"
        if optional(rng, 0.2):
            text += rng.choice((" + ", " - ", " * ")) + str(number(rng))
        result = eval(text)  # noqa: S307 - our own digits and signs
        return Case(["[what is|what's|how much is|calculate|compute|work out|evaluate|] {text}[?|]", "[can you|please] [calculate|work out|compute] {text}[?|]"], {where: text}, as_json(rng, {"result": result}, str(result)), ["{text} = {r}.", "The result is {r}."], {"text": text, "r": result}, ["and {text}?"])

    return tool, request


SUBJECTS = "streaming;API keys;billing;refunds;spending caps;rate limits;timeouts;embeddings;backups;the config file;Docker;Kubernetes;login;password reset;webhooks;pricing;structured output;tool calls;projects;teams;quotas;logging;metrics;caching;the Python SDK;error 429;batch jobs;upgrades;security;data retention;GGUF files".split(";")


def search(rng):
    what = rng.choice(("query", "query", "q", "question", "search_term", "text", "keywords"))
    source = rng.choice(("the docs", "the documentation", "the web", "the manual", "the wiki", "the knowledge base"))
    name = rng.choice({"the docs": ("search_docs", "docs_search", "search", "find_in_docs"), "the web": ("web_search", "search_web", "search", "google")}.get(source, ("search", "search_manual", "lookup", "find_article", "search_kb")))
    parameters = [(what, "string", False, "")]
    tool = Tool(name, rng.choice((f"Search {source}", f"Search in {source}", f"Full-text search of {source}", f"Looks things up in {source}")), parameters)

    def request():
        topic = rng.choice(SUBJECTS) if optional(rng, 0.6) else rng.choice((thing(rng), invented(rng), thing(rng) + " " + thing(rng)))
        found = rng.choice(("See page {n}.", "It is described in chapter {n}.", "Found in section {n}.", "{n} results, the first one is called Guide {n}.", "It can be set in the settings, on page {n}.")).replace("{n}", str(rng.randint(2, 90)))
        result = found if optional(rng) else json.dumps({rng.choice(("text", "result", "snippet")): found})
        return Case([f"[search|look in|look into|search in|check] {source} for {{topic}}", f"[what|where] [do|does] {source} [say about|mention] {{topic}}?", f"[look up|find|search for|search] {{topic}}[ in {source}|]", f"[have a look|look|take a look] [into|in|at] {source} [about|for|on] {{topic}}", f"what [is|stands|does it say|do we have|is there] in {source} [about|on] {{topic}}?", f"[see|check] what {source} [has|have|says|say] [about|on] {{topic}}", f"is there anything [in|about it in] {source} [about|on] {{topic}}?" if "web" not in source else "find something about {topic} on the web"], {what: topic}, result, ["{found}", "I found this: {found}", "About {topic}: {found}"], {"topic": topic, "found": found}, ["[and|now|then] [about |for |]{topic}?"])

    return tool, request


MEETINGS = "meeting;lunch;dinner;review;standup;workshop;party;interview;call;planning meeting;team meeting;dentist appointment;science fair;concert;birthday party;book club;budget review;design review;yoga class;training;sprint planning;picnic;game night;piano lesson;kick-off;barbecue;wedding;exam;movie night;school play;coffee break;demo;retrospective;football match;tennis match;chess club;museum visit;board meeting;product launch;doctor's appointment;road trip;art exhibition;hackathon;conference;webinar;breakfast;haircut;parents' evening;choir rehearsal;city tour".split(";")


def happening(rng):
    return rng.choice(MEETINGS) if optional(rng, 0.85) else thing(rng) + " " + rng.choice(("meeting", "party", "workshop", "contest", "festival", "talk"))


def create_event(rng):
    title, date = rng.choice(("title", "name", "event", "summary", "subject")), rng.choice(("date", "day", "when", "date"))
    at, who = rng.choice(("time", "start", "at")), rng.choice(("participants", "attendees", "people", "guests", "with"))
    has_time, has_people = optional(rng, 0.35), optional(rng, 0.45)
    parameters = [(title, "string", False, ""), (date, "string", False, "")]
    if has_time:
        parameters.append((at, "string", True, ""))
    if has_people:
        parameters.append((who, '{"type": "array", "items": {"type": "string"}}', optional(rng, 0.8), ""))
    tool = Tool(rng.choice(("create_event", "add_event", "schedule_meeting", "new_appointment", "calendar_add", "create_calendar_event", "book_meeting")), rng.choice(("Create a calendar event", "Put something into the calendar", "Adds an event to the calendar", "Schedule an event")), parameters)

    def request():
        what, (on, when) = happening(rng), day(rng)
        arguments, slots = {title: what, date: when}, {"what": what, "on": on}
        time = guests = ""
        if has_time and optional(rng, 0.6):
            arguments[at] = slots["time"] = clock(rng)
            time = " at {time}"
        required = has_people and not parameters[-1][2]
        if has_people and (required or optional(rng, 0.6)):
            names = people(rng, rng.choice((1, 1, 2, 2, 3)))
            arguments[who] = names
            slots["names"] = joined(names)
            guests = " with {names}"
        done = rng.choice(("ok", "created", "done", '{"status": "created"}', '{"id": %d}' % rng.randint(1, 999), '{"ok": true}'))
        a = "a" if what[0] not in "aeiou" else "an"
        asks = [f"[put|add|enter] {a} {{what}}{guests} [into|in|to] [my|the] calendar {{on}}{time}", f"[schedule|plan|set up|create|book|make|arrange] {a} {{what}}{guests} {{on}}{time}", f"[can you|please|could you] [schedule|book|plan|add] {a} {{what}}{guests} {{on}}{time}[?|]", f"I have {a} {{what}}{guests} {{on}}{time}, [add it to my calendar|please note it|put it in the calendar]", f"new event: {{what}}{guests} {{on}}{time}", f"[remember|note]: {{what}}{guests} {{on}}{time}", f"[enter|write|note|put down] {a} {{what}}{guests} {{on}}{time} [into|in] my [calendar|diary]", f"{{on}} {{what}}{guests}{time}, [into the calendar with it|note it, please|please add it]", f"[my calendar needs|I need] {a} {{what}}{guests} {{on}}{time}"]
        return Case(asks, arguments, done, ["The {what} is in your calendar [|, ]{on}.", "Done: {what} {on}.", "I have added the {what} {on}."], slots)

    return tool, request


TEXTS = ["I will be late", "see you tomorrow", "the meeting is moved", "thank you for the help", "happy birthday", "call me back", "dinner is ready", "I am on my way", "the report is done", "please send the files", "we won the game", "the train is late", "good luck", "I miss you", "the server is down", "lunch at noon", "where are you", "the door is open", "bring some milk", "all is well"]


def send_message(rng):
    to, text = rng.choice(("to", "recipient", "person", "name", "contact")), rng.choice(("text", "message", "body", "content"))
    tool = Tool(rng.choice(("send_message", "send_email", "message", "text_someone", "send_mail", "notify", "send_sms")), rng.choice(("Send a message to somebody", "Sends a text", "Send somebody a message")), [(to, "string", False, ""), (text, "string", False, "")])

    def request():
        who, words = person(rng), rng.choice(TEXTS)
        return Case(["[send|write] {who} [a message|a text|a mail]: {words}", "tell {who}: {words}", "[send a message to|write to|message|text|notify] {who}: {words}", "[send|write] a [message|mail|note] to {who} saying {words}", "let {who} know: {words}", "[this message|this|the following] [goes to|is for] {who}: {words}", "[send|give|write] {who} [the message|the note|this note|these words]: {words}", "{who} [should|must] [know|hear|read]: {words}"], {to: who, text: words}, rng.choice(("sent", "ok", '{"status": "sent"}', '{"ok": true}', "delivered")), ["I have sent it to {who}.", "Your message to {who} is sent.", "Done: {who} has your message."], {"who": who, "words": words})

    return tool, request


MONEY = "USD EUR GBP JPY CHF SEK NOK PLN INR CAD AUD BRL dollars euros pounds yen francs crowns rupees".split()


def convert(rng):
    amount, source, target = rng.choice((("amount", "from", "to"), ("value", "from_currency", "to_currency"), ("amount", "source", "target")))
    tool = Tool(rng.choice(("convert_currency", "convert", "exchange", "currency_converter", "exchange_rate")), rng.choice(("Convert money", "Converts an amount from one currency to another", "Exchange rates")), [(amount, "number", False, ""), (source, "string", False, ""), (target, "string", False, "")])

    def request():
        n, (one, two) = number(rng), rng.sample(MONEY, 2)
        r = round(n * rng.uniform(0.3, 3), 2)
        return Case(["[convert|change|exchange|turn] {n} {one} [to|into|in] {two}", "[how much is|how much are|what is|what are] {n} {one} in {two}?", "{n} {one} [in|to] {two}[?|]", "how many {two} [are|is|do I get for] {n} {one}?", "what [do I get for|will I get for|would I pay for] {n} {one} in {two}?", "[tell me|show me] {n} {one} in {two}", "I have {n} {one}, [what is that|how much is that] in {two}?"], {amount: n, source: one, target: two}, as_json(rng, {"result": r}, f"{r}"), ["{n} {one} are {r} {two}.", "That is {r} {two}."], {"n": n, "one": one, "two": two, "r": r})

    return tool, request


def translate(rng):
    text, into = rng.choice(("text", "phrase", "input")), rng.choice(("language", "to", "target_language", "target"))
    tool = Tool(rng.choice(("translate", "translate_text", "translator")), rng.choice(("Translate a text", "Translates into another language")), [(text, "string", False, ""), (into, "string", False, "")])

    def request():
        words, language, out = rng.choice((rng.choice(TEXTS), thing(rng), rng.choice(("good morning", "hello", "thank you", "how are you", "good night")))), rng.choice(LANGUAGES), " ".join(invented(rng).lower() for _ in range(rng.randint(1, 3)))
        return Case(["translate {words} [to|into] {language}", "[how do you say|what is] {words} in {language}?", "{words} in {language}[, please|?|]", 'translate "{words}" into {language}'], {text: words, into: language}, as_json(rng, {"text": out}, out), ["In {language}: {out}", "{out}", "{words} is {out} in {language}."], {"words": words, "language": language, "out": out})

    return tool, request


def timer(rng):
    length = rng.choice(("minutes", "duration", "n_minutes"))
    tool = Tool(rng.choice(("set_timer", "timer", "start_timer", "countdown")), rng.choice(("Start a timer", "Set a timer in minutes", "Rings after some minutes")), [(length, "integer", False, rng.choice(("", "In minutes")))])

    def request():
        n = rng.randint(1, 90)
        return Case(["[set|start|make] a timer [for|of] {n} minutes", "timer [for |]{n} minutes", "[wake me|remind me|ring|call me] in {n} minutes", "{n} [minute|minutes] timer[, please|]", "[put|set] the timer [to|on|at] {n} minutes", "[can|could] you [set|start] a timer [to|for|of] {n} minutes?", "count down {n} minutes"], {length: n}, rng.choice(("ok", "started", '{"status": "started"}', "set")), ["The timer is set for {n} minutes.", "Done: {n} minutes from now."], {"n": n})

    return tool, request


ROOMS = "kitchen;bedroom;living room;bathroom;garage;office;hall;garden;cellar;attic;dining room;nursery;studio".split(";")


def lights(rng):
    room, state = rng.choice(("room", "location", "where")), rng.choice(("state", "on_off", "power"))
    tool = Tool(rng.choice(("set_light", "switch_light", "lights", "control_lights", "toggle_lamp")), rng.choice(("Turn a light on or off", "Switch the lights of a room", "Controls the lamps")), [(room, "string", False, ""), (state, "on|off", False, "")])

    def request():
        where, how = rng.choice(ROOMS), rng.choice(("on", "off"))
        return Case(["[turn|switch] {how} the [light|lights|lamp] in the {where}", "[turn|switch] the {where} [light|lights|lamp] {how}", "[light|lights|lamp] {how} in the {where}", "{where} lights {how}", "[put|make] the [light|lights] in the {where} {how}", "[put|have] the {where} [light|lights|lamp] {how}", "I [want|need] the [light|lights] in the {where} {how}"], {room: where, state: how}, rng.choice(("ok", "done", '{"ok": true}', how)), ["The light in the {where} is {how}.", "Done: {where} {how}."], {"where": where, "how": how})

    return tool, request


def restaurants(rng):
    place, food = rng.choice(("city", "location", "place", "where")), rng.choice(("cuisine", "food", "kind", "dish"))
    tool = Tool(rng.choice(("find_restaurant", "search_restaurants", "restaurants", "find_food")), rng.choice(("Find a restaurant", "Finds places to eat", "Restaurants of a city")), [(place, "string", False, ""), (food, "string", True, "")])

    def request():
        where, dish, name = city(rng), rng.choice(FOODS), "The " + capital(thing(rng))
        arguments, ask = {place: where}, ["[find|show me|I need|look for] a restaurant in {where}", "where can I eat in {where}?", "restaurants in {where}"]
        if optional(rng):
            arguments, ask = {place: where, food: dish}, ["where can I [eat|get|find] {dish} in {where}?", "[find|I want|I would like|look for] {dish} in {where}", "[find|is there] a restaurant for {dish} in {where}[?|]"]
        return Case(ask, arguments, as_json(rng, {"name": name}, name), ["Try {name} in {where}.", "I found {name} in {where}."], {"where": where, "dish": dish, "name": name})

    return tool, request


def stock(rng):
    what = rng.choice(("symbol", "ticker", "company", "stock"))
    tool = Tool(rng.choice(("get_stock_price", "stock_price", "quote", "share_price")), rng.choice(("The price of a share", "Stock quotes", "Get the current stock price")), [(what, "string", False, "")])

    def request():
        name = rng.choice(("Apple", "Tesla", "Google", "Amazon", "AAPL", "MSFT", "Siemens", "Nestle", "Toyota", "IBM", "NVDA", "SAP")) if optional(rng) else invented(rng)
        price = round(rng.uniform(3, 900), 2)
        return Case(["[what is|what's|get|show me] the [stock|share] price of {name}[?|]", "how [much is|is] [a share of |the stock of |]{name} [stock |trading |doing |]?", "{name} stock[ price|]", "price of {name} shares"], {what: name}, as_json(rng, {"price": price}, str(price)), ["{name} is at {price}.", "A share of {name} costs {price}."], {"name": name, "price": price}, ["and {name}?"])

    return tool, request


def music(rng):
    what = rng.choice(("song", "title", "artist", "query", "track"))
    tool = Tool(rng.choice(("play_music", "play", "play_song", "music_player")), rng.choice(("Play music", "Plays a song", "Start the music")), [(what, "string", False, "")])

    def request():
        song = rng.choice((rng.choice(("Yesterday", "Imagine", "Bohemian Rhapsody", "Hey Jude", "Thriller", "Hello", "Mozart", "Bach", "the Beatles", "jazz", "Queen", "Madonna")), invented(rng), "the " + thing(rng) + " song"))
        return Case(["play {song}[, please|]", "[I want to hear|put on|start|let me hear] {song}", "play [the song|some|something by] {song}"], {what: song}, rng.choice(("playing", "ok", '{"status": "playing"}')), ["Now playing: {song}.", "Here comes {song}."], {"song": song})

    return tool, request


def dice(rng):
    tool = Tool(rng.choice(("roll_dice", "random_number", "dice", "coin_flip")), "", [])
    tool.description = {"roll_dice": "Roll a die", "random_number": "A random number", "dice": "Rolls a die", "coin_flip": "Flip a coin"}[tool.name]
    asks = {"roll_dice": ["roll [a|the] [die|dice][ for me|]", "throw the dice"], "dice": ["[roll|throw] [a|the] [die|dice]"], "random_number": ["[give me|I need|pick] a random number", "random number[ please|]"], "coin_flip": ["[flip|toss] a coin", "heads or tails?"]}[tool.name]

    def request():
        r = rng.choice(("heads", "tails")) if tool.name == "coin_flip" else rng.randint(1, 6)
        return Case(asks, {}, as_json(rng, {"result": r}, str(r)), ["It is {r}.", "The result: {r}."], {"r": r}, ["again", "once more"])

    return tool, request


VERBS = "get fetch open delete find check count read start stop show update cancel book order measure print lock charge track".split()
NOUNS = "price status owner address size balance menu invoice ticket order door file report user package flight room parcel robot battery sensor playlist recipe task note account server job camera printer lamp backup photo seat table train bus route".split()
KEYS = "name id product item number customer label target code title key subject object value topic".split()


def anything(rng):
    """A function of random words, told from others only by reading."""
    verb, noun, key = rng.choice(VERBS), rng.choice(NOUNS) if optional(rng, 0.85) else thing(rng), rng.choice(KEYS)
    many = optional(rng, 0.3)
    name = rng.choice((f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}_the_{noun}", f"{noun}_{verb}", f"{verb}{capital(noun)}")).replace(" ", "_")
    kind = rng.choice(("string", "string", "integer"))
    parameters = [(key, kind, False, "")]
    if many:
        parameters.append((rng.choice([k for k in KEYS if k != key]), "string", optional(rng, 0.4), ""))
    tool = Tool(name, rng.choice((f"{capital(verb)} the {noun}", f"{capital(verb)} a {noun} by its {key}", f"{capital(verb)} the {noun} of something", "")), parameters)

    def request():
        value = number(rng) if kind == "integer" else rng.choice((thing(rng), invented(rng), person(rng), f"{rng.choice('ABCDEFGHK')}{rng.randint(1, 999)}"))
        arguments, more, slots = {key: value}, "", {"value": value}
        if many and (not parameters[1][2] or optional(rng, 0.6)):
            arguments[parameters[1][0]] = slots["second"] = rng.choice((thing(rng), invented(rng), rng.choice(CITIES)))
            more = f" [with|and] [the |]{parameters[1][0]} {{second}}"
        result = rng.choice((str(rng.randint(1, 999)), thing(rng), "ok", "done", "open", "ready", "not found"))
        of = f"[of|for] [{key} |the {key} |]{{value}}" if kind == "string" else f"[number|with {key}|for {key}|of {key}] {{value}}"
        asks = [f"[{verb}|please {verb}|can you {verb}] the {noun} {of}{more}", f"{verb} {noun} {of}{more}", f"I [want|need] to {verb} the {noun} {of}{more}", f"[could you|do|just] {verb} the {noun} {of}{more}", f"the {noun} {of}{more}: [please {verb} it|{verb} it|{verb}]"]
        return Case(asks, arguments, as_json(rng, {rng.choice(("result", "status", noun)): result}, result), ["The {noun} of {value}: {r}.", "Result for {value}: {r}."], {**slots, "noun": noun, "r": result}, [f"[and|now] {of}{more}"] if not more else [])

    return tool, request


KINDS = [(weather, 26), (time_of, 11), (arithmetic, 6), (calculator, 6), (search, 8), (create_event, 9), (send_message, 6), (convert, 4), (translate, 4), (timer, 4), (lights, 4), (restaurants, 4), (stock, 4), (music, 3), (dice, 3), (anything, 14)]
