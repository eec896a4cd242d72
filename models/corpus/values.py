"""Values to copy: places, people, days, times, things. Known ones and ones that nobody has heard of."""

from .phrases import capital
from .stories import OBJECTS, PROPER, made_up

CITIES = "Berlin;Paris;London;Rome;Madrid;Vienna;Oslo;Hamburg;Tokyo;Mumbai;Lagos;Cairo;Seoul;Dublin;Prague;Boston;Chicago;Sydney;Toronto;Munich;Zurich;New York;San Francisco;Los Angeles;Lisbon;Porto;Barcelona;Seville;Lyon;Nice;Marseille;Milan;Naples;Venice;Turin;Athens;Istanbul;Ankara;Warsaw;Krakow;Budapest;Bucharest;Sofia;Belgrade;Zagreb;Helsinki;Stockholm;Gothenburg;Copenhagen;Aarhus;Bergen;Reykjavik;Amsterdam;Rotterdam;Utrecht;Brussels;Antwerp;Ghent;Cologne;Frankfurt;Stuttgart;Dresden;Leipzig;Bremen;Basel;Geneva;Bern;Salzburg;Graz;Linz;Bologna;Florence;Pisa;Palermo;Malaga;Valencia;Bilbao;Glasgow;Edinburgh;Leeds;Liverpool;Manchester;Bristol;Oxford;Cambridge;York;Cardiff;Belfast;Cork;Galway;Moscow;Kyiv;Riga;Vilnius;Tallinn;Minsk;Delhi;New Delhi;Chennai;Kolkata;Dhaka;Karachi;Lahore;Kabul;Tehran;Baghdad;Dubai;Doha;Riyadh;Tel Aviv;Jerusalem;Beirut;Amman;Bangkok;Hanoi;Manila;Jakarta;Singapore;Kuala Lumpur;Hong Kong;Shanghai;Beijing;Osaka;Kyoto;Taipei;Busan;Nairobi;Accra;Dakar;Tunis;Casablanca;Cape Town;Johannesburg;Addis Ababa;Kampala;Melbourne;Brisbane;Perth;Auckland;Wellington;Denver;Seattle;Portland;Austin;Dallas;Houston;Miami;Atlanta;Detroit;Phoenix;Las Vegas;Salt Lake City;Philadelphia;Washington;Baltimore;New Orleans;Nashville;Memphis;Montreal;Vancouver;Ottawa;Calgary;Mexico City;Havana;Lima;Quito;Bogota;Caracas;Santiago;Buenos Aires;Montevideo;Rio de Janeiro;Sao Paulo;Brasilia;Honolulu;Anchorage".split(";")  # fmt: skip
COUNTRY = "France;Germany;Italy;Spain;Japan;India;Brazil;Canada;Norway;Ireland;Portugal;Texas;Poland;Egypt;Kenya;Peru;Chile;Greece;UK;USA".split(";")
PEOPLE = "Alice Bob Carol Dave Eve Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Kim Lena Max Nora Oscar Paula Rosa Sam Tom Vera John Jane Mary Peter Paul Maria Lisa Mark Susan Linda Karen Nancy Steven Brian Kevin Laura Sarah Daniel Sofia Liam Olivia Noah Mia Leo Zoe Ravi Priya Wei Chen Yuki Omar Fatima Ali Ahmed Layla Ivan Olga Igor Elena Carlos Diego Lucia Pedro Ines Marco Giulia Pierre Marie Luc Sophie Hans Klaus Ingrid Lars Sven Astrid".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
FOODS = "pizza;pasta;burger;salad;soup;sushi;curry;sandwich;pancakes;lasagne;risotto;burrito;taco;noodles;steak;omelette;fish and chips;falafel".split(";")
LANGUAGES = "French German Spanish Italian Japanese Polish Dutch Swedish Greek Turkish Arabic Hindi Korean Portuguese Russian Chinese Danish".split()


def invented(rng):
    """A capitalised word that nobody has heard of."""
    return capital(made_up(rng))


def city(rng):
    dice = rng.random()
    if dice < 0.62:
        return rng.choice(CITIES)
    if dice < 0.95:
        return invented(rng)
    return rng.choice(("New", "San", "Port", "Saint", "Upper", "West", "North", "Bad", "Little")) + " " + invented(rng)


def person(rng):
    return rng.choice(PEOPLE + PROPER) if rng.random() < 0.72 else invented(rng)


def people(rng, count):
    found = []
    while len(found) < count:
        one = person(rng)
        if one not in found:
            found.append(one)
    return found


def joined(names):
    """`Alice, Bob and Carol`."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def nth(n):
    return f"{n}" + ("th" if 10 < n % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th"))


def clock(rng):
    hour, minute = rng.randint(1, 12), rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59)))
    dice = rng.random()
    if dice < 0.4:
        return f"{hour}{'' if minute == 0 else f':{minute:02}'} {rng.choice(('am', 'pm'))}"
    if dice < 0.55:
        return f"{hour}{rng.choice(('am', 'pm'))}"
    if dice < 0.6:
        return rng.choice(("noon", "midnight"))
    return f"{rng.randint(0, 23):02}:{minute:02}" if dice < 0.85 else f"{hour}:{minute:02}"


def day(rng):
    """(the day as it is said after `on`-less text, the day's value): `on Friday`, `Friday`."""
    dice = rng.random()
    if dice < 0.45:
        one = rng.choice(DAYS)
        return "on " + one, one
    if dice < 0.55:
        one = rng.choice(("next", "this")) + " " + rng.choice(DAYS)
        return one, one
    if dice < 0.66:
        one = rng.choice(("tomorrow", "today", "tonight", "next week", "tomorrow evening", "this weekend"))
        return one, one
    if dice < 0.72:
        one = rng.choice(DAYS) + " " + rng.choice(("morning", "evening", "night", "afternoon"))
        return "on " + one, one
    month, number = rng.choice(MONTHS), rng.randint(1, 30)
    one = rng.choice((f"{month} {number}", f"{month} {nth(number)}", f"{number} {month}", f"the {nth(number)} of {month}", f"the {nth(number)}", f"{rng.randint(2024, 2031)}-{rng.randint(1, 12):02}-{number:02}"))
    return "on " + one, one


def thing(rng):
    return rng.choice(OBJECTS).replace("-", " ") if rng.random() < 0.7 else made_up(rng)


def number(rng):
    dice = rng.random()
    return rng.randint(0, 20) if dice < 0.35 else rng.randint(10, 100) if dice < 0.75 else rng.randint(100, 9999)
