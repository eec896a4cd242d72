"""Jokes, with what each is about and why it should be funny; riddles and tongue twisters beside them."""

from .phrases import capital

# (topics, setup, punchline, explanation). A setup without a question mark is a one-liner with its end.
JOKES = [
    ("whale sea", "What do you get when you cross a whale with a computer?", "A very large byte.", "byte is a unit in computers and sounds like bite"),
    ("boat sea", "Why did the little boat need a rest?", "It was feeling a bit adrift.", "to be adrift means to float without control, and also to feel lost"),
    ("wizard", "Why did the wizard clean his wand?", "He wanted a better spell-ing.", "wizards cast spells, and spelling is writing words without mistakes"),
    ("model", "Why was the tiny model so cheerful?", "It had very few weights on its shoulders.", "the numbers in a model are called weights, and worries weigh on your shoulders"),
    ("computer bug", "Why did the programmer bring a ladder to work?", "To reach the high-level languages.", "programming languages are called high-level, as if you had to climb up to them"),
    ("computer", "Why was the computer cold?", "It left its Windows open.", "Windows is a name for an operating system as well as the thing in the wall"),
    ("computer mouse cat", "Why did the cat sit on the keyboard?", "To keep an eye on the mouse.", "a computer mouse is not the kind that cats hunt"),
    ("computer", "Why did the laptop go to the doctor?", "It had caught a virus.", "computers and people both catch things called viruses"),
    ("computer server", "Why did the server take a day off?", "It had too many requests.", "a server answers requests all day, and so does a tired waiter"),
    ("token mill model", "Why did the token go to the mill?", "To be part of the daily grind.", "a mill grinds, and the daily grind is a name for hard work"),
    ("model robot", "Why did the small language model stay at home?", "It was not ready for large talk.", "small talk is chatting, and a small model would have trouble with anything larger"),
    ("robot", "Why did the robot go on holiday?", "To recharge its batteries.", "people say recharge when they mean rest, but a robot means it word for word"),
    ("robot", "What is a robot's favourite snack?", "Computer chips.", "chips are both a snack and a part of a computer"),
    ("robot music", "What kind of music do robots like?", "Heavy metal.", "heavy metal is a kind of music, and also what robots are made of"),
    ("bug computer", "Why do programmers like the dark?", "Because light attracts bugs.", "bugs are insects, and also mistakes in a program"),
    ("computer code", "How many programmers does it take to change a light bulb?", "None. That is a hardware problem.", "programmers deal with software and like to pass hardware on to others"),
    ("cloud computer", "Why did the file feel dizzy?", "It was up in the cloud.", "the cloud is where files are kept, but it sounds very high up"),
    ("queue computer", "Why did the request wait so politely?", "It had been raised in a queue.", "a queue is where requests wait, and raised also means brought up"),
    ("cache computer", "Why was the cache so good at parties?", "It remembered everyone.", "a cache remembers what it has seen before"),
    ("key computer", "Why did the API key blush?", "Somebody printed it in public.", "an API key is a secret, so printing it is embarrassing"),
    ("stream water", "Why do tokens like to swim?", "They are used to the stream.", "answers are sent token by token in a stream, which is also a small river"),
    ("cat", "What do you call a pile of kittens?", "A meow-ntain.", "it sounds like mountain with a meow in it"),
    ("cat", "Why are cats bad at telling stories?", "They only have one tale.", "tale means story and sounds like tail, and a cat has one of those"),
    ("cat", "What is a cat's favourite colour?", "Purr-ple.", "it is purple with a purr in it"),
    ("dog", "What do you call a dog that does magic?", "A labracadabrador.", "it mixes labrador with abracadabra"),
    ("dog tree", "Why did the dog sit in the shade?", "It did not want to be a hot dog.", "a hot dog is something to eat as well as a warm dog"),
    ("dog clock", "What kind of dog always knows the time?", "A watch dog.", "a watch shows the time, and a watch dog guards a house"),
    ("dog", "Why do dogs make bad dancers?", "They have two left feet.", "having two left feet means dancing badly, and a dog really has two on its left"),
    ("cow", "What do you call a cow that plays the guitar?", "A moo-sician.", "it is a musician with a moo in it"),
    ("cow", "Why do cows wear bells?", "Because their horns do not work.", "horns on a car make a noise, but the horns of a cow do not"),
    ("cow space moon", "How did the cow get to the moon?", "It flew through udder space.", "udder sounds like outer, as in outer space"),
    ("duck doctor", "What did the duck say when it bought a hat?", "Put it on my bill.", "a bill is what you pay, and also the beak of a duck"),
    ("duck", "What time do ducks get up?", "At the quack of dawn.", "it is the crack of dawn with a quack"),
    ("fish", "Why are fish so clever?", "They spend their lives in schools.", "a group of fish is called a school"),
    ("fish", "What do you call a fish without an eye?", "A fsh.", "take the letter i out of fish and fsh is left, and i sounds like eye"),
    ("fish music piano", "What is the difference between a piano and a fish?", "You can tune a piano, but you cannot tuna fish.", "tuna is a fish and sounds like tune a"),
    ("octopus sea fish", "How does an octopus go into battle?", "Well armed.", "an octopus has eight arms, and arms are also weapons"),
    ("crab sea", "Why did the crab never share?", "It was a little shellfish.", "shellfish sounds like selfish"),
    ("sea", "What did the sea say to the shore?", "Nothing. It just waved.", "waves belong to the sea, and you wave to say hello"),
    ("sea boat", "What lies at the bottom of the sea and shivers?", "A nervous wreck.", "a wreck is a sunken ship, and a nervous wreck is a very worried person"),
    ("elephant", "Why do elephants never use computers?", "They are afraid of the mouse.", "people say that elephants fear mice, and computers come with one"),
    ("elephant", "What time is it when an elephant sits on your fence?", "Time to get a new fence.", "you expect an hour, but the answer is about the broken fence"),
    ("elephant travel", "Why are elephants always ready to travel?", "They bring their own trunk.", "a trunk is a large case and also an elephant's nose"),
    ("bear", "What do you call a bear with no teeth?", "A gummy bear.", "gummy bears are sweets, and without teeth only gums are left"),
    ("bear", "Why do bears have fur coats?", "They would look silly in raincoats.", "the answer treats fur as if the bear had chosen it in a shop"),
    ("bee", "Why do bees have sticky hair?", "They use honeycombs.", "a honeycomb is where bees keep honey, and a comb is for hair"),
    ("bee", "What did the bee say to the flower?", "Hello, honey.", "bees make honey, and honey is also a loving name"),
    ("bee school", "How do bees get to school?", "By school buzz.", "it is school bus with a buzz"),
    ("bird owl", "What do you call an owl that does tricks?", "Hoo-dini.", "Houdini was a magician, and owls say hoo"),
    ("bird", "Why do birds fly south?", "It is too far to walk.", "you expect an answer about warm weather"),
    ("bird parrot", "What is orange and sounds like a parrot?", "A carrot.", "carrot rhymes with parrot"),
    ("penguin bird", "Why do penguins carry fish in their beaks?", "They have no pockets.", "a beak would not be needed if a penguin had pockets"),
    ("chicken", "Why did the chicken cross the road?", "To get to the other side.", "you expect something clever, and the answer is completely plain"),
    ("chicken music", "Why did the chicken join the band?", "It had the drumsticks.", "drumsticks are for drums, and also the legs of a chicken"),
    ("chicken egg", "Why do hens tell such good jokes?", "They always crack up.", "eggs crack, and to crack up means to laugh"),
    ("egg food", "What did the egg say to the other egg?", "Let's get cracking.", "get cracking means to start, and eggs crack"),
    ("sheep", "What do you call a sheep covered in chocolate?", "A candy baa.", "it sounds like candy bar with a baa"),
    ("sheep", "Where do sheep go for a haircut?", "To the baa-baa shop.", "it sounds like barber shop"),
    ("horse", "Why did the horse whisper?", "It was a little hoarse.", "hoarse means having a weak voice and sounds like horse"),
    ("horse", "What did the horse say after a fall?", "I have fallen and I cannot giddy up.", "giddy up is what you say to a horse"),
    ("pig", "What do you call a pig that knows karate?", "A pork chop.", "a chop is a blow in karate and a piece of meat"),
    ("pig", "Why should you never tell a pig a secret?", "Pigs squeal.", "squealing is what pigs do, and it also means telling secrets"),
    ("frog", "Why are frogs so happy?", "They eat whatever bugs them.", "to bug somebody means to annoy them, and frogs eat bugs"),
    ("frog car", "What happened to the frog's car?", "It was toad away.", "toad sounds like towed"),
    ("snake maths", "What is a snake's favourite subject?", "Hiss-tory.", "it is history with a hiss"),
    ("snake", "Why can you never trick a snake?", "You cannot pull its leg.", "to pull a leg means to tease, and a snake has no legs"),
    ("rabbit", "How do rabbits travel?", "By hare-plane.", "it sounds like airplane, and a hare is like a rabbit"),
    ("rabbit", "Why was the rabbit so happy?", "Some bunny loved it.", "it sounds like somebody"),
    ("fox", "Why did the fox bring a pencil?", "To draw a crowd.", "to draw a crowd means to attract people, and a pencil draws"),
    ("mouse", "What does a mouse use to freshen its breath?", "Mousewash.", "it sounds like mouthwash"),
    ("snail", "Why did the snail paint an S on its car?", "So that people say: look at that S-car go.", "S-car go sounds like escargot, a word for snail"),
    ("spider computer", "Why did the spider go online?", "To check its website.", "a spider makes a web, and a website is online"),
    ("dinosaur", "What do you call a dinosaur that is asleep?", "A dino-snore.", "it is dinosaur with a snore"),
    ("dinosaur", "Why did the dinosaur need a plaster?", "It had a dino-sore.", "sore means hurting, and it sounds like dinosaur"),
    ("ghost", "Why are ghosts such bad liars?", "You can see right through them.", "ghosts are see-through, and to see through somebody means to notice a lie"),
    ("ghost food", "What do ghosts eat for dessert?", "I scream.", "it sounds like ice cream"),
    ("skeleton bone", "Why did the skeleton stay at home?", "It had no body to go with.", "no body sounds like nobody"),
    ("skeleton music", "What instrument does a skeleton play?", "The trom-bone.", "a trombone has the word bone in it"),
    ("pirate", "Why is it hard to learn the alphabet from a pirate?", "They get lost at C.", "C sounds like sea"),
    ("pirate", "How much did the pirate pay for corn?", "A buck an ear.", "it sounds like buccaneer, a word for pirate"),
    ("maths number", "Why was six afraid of seven?", "Because seven ate nine.", "ate sounds like eight, so it goes seven, eight, nine"),
    ("maths", "Why was the maths book sad?", "It had too many problems.", "maths problems are exercises, but problems also make you sad"),
    ("maths number", "What did zero say to eight?", "Nice belt.", "an 8 looks like a 0 with a belt around it"),
    ("maths", "Why did the two fours skip lunch?", "They already eight.", "four and four make eight, which sounds like ate"),
    ("maths school", "Why do plants do well in maths?", "They grow square roots.", "plants have roots, and numbers have square roots"),
    ("school teacher", "Why did the teacher wear sunglasses?", "Her students were so bright.", "bright means clever as well as shining"),
    ("school music", "Why did the music teacher need a ladder?", "To reach the high notes.", "high notes are high in sound, not in height"),
    ("school pencil", "What did the pencil say to the paper?", "I dot my i's on you.", "it sounds like I have got my eyes on you"),
    ("school", "Why did the broom arrive late?", "It over-swept.", "it sounds like overslept, and a broom sweeps"),
    ("book", "Why did the book join the police?", "It wanted to go under cover.", "a book is under its cover, and police go undercover"),
    ("book library", "Why was the library so tall?", "It had many stories.", "stories are in books, and a story is also a floor of a house"),
    ("clock time", "Why did the clock go back four seconds at lunch?", "It was still hungry.", "going back for seconds means taking more food"),
    ("clock time", "Why did the man throw his clock out of the window?", "He wanted to see time fly.", "time flies means that time passes fast"),
    ("calendar time", "Why are calendars so popular?", "They have so many dates.", "dates are days, and also meetings with somebody you like"),
    ("food cheese", "What do you call cheese that is not yours?", "Nacho cheese.", "it sounds like not your cheese"),
    ("food bread", "Why does a loaf of bread never worry?", "It always rises.", "bread rises in the oven, and to rise above worries means to beat them"),
    ("food baker bread", "Why did the baker work so hard?", "He needed the dough.", "dough makes bread, and is also a word for money"),
    ("food tomato", "Why did the tomato turn red?", "It saw the salad dressing.", "dressing is a sauce, and also putting on clothes"),
    ("food banana", "Why did the banana go to the doctor?", "It was not peeling well.", "it sounds like not feeling well"),
    ("food lemon", "What do you give a sick lemon?", "Lemon aid.", "it sounds like lemonade, and aid means help"),
    ("food coffee", "Why did the coffee call the police?", "It got mugged.", "coffee is put in a mug, and to be mugged means to be robbed"),
    ("food coffee", "How does a tired programmer take coffee?", "Seriously.", "you expect milk or sugar"),
    ("food tea", "What does a nosy teapot say?", "Spill it.", "to spill the tea means to tell secrets"),
    ("food pizza", "Do you want to hear a joke about pizza?", "Never mind, it is too cheesy.", "cheesy means silly, and pizza has cheese"),
    ("food potato", "What do you call a lazy potato?", "A couch potato.", "a couch potato is a person who sits around all day"),
    ("food corn", "What did the baby corn say to the mother corn?", "Where is pop corn?", "popcorn is a snack, and pop is a word for father"),
    ("food mushroom", "Why is the mushroom invited to every party?", "He is a fun guy.", "fun guy sounds like fungi, which mushrooms are"),
    ("food apple", "What is worse than finding a worm in your apple?", "Finding half a worm.", "then you have eaten the other half"),
    ("tree", "What kind of tree fits in your hand?", "A palm tree.", "the palm is the inside of a hand"),
    ("tree", "Why do trees seem suspicious on sunny days?", "They are a little shady.", "shady means suspicious, and trees give shade"),
    ("tree", "How do trees go online?", "They log in.", "a log is a piece of a tree"),
    ("flower garden", "What did the big flower say to the little one?", "Hi there, bud.", "a bud is a young flower, and also a friend"),
    ("garden scarecrow", "Why did the scarecrow win a prize?", "It was outstanding in its field.", "to be outstanding in a field means to be very good, and a scarecrow stands out in a field"),
    ("moon space", "How does the moon cut its hair?", "Eclipse it.", "it sounds like he clips it"),
    ("space star", "Why did the star go to school?", "To get brighter.", "brighter means cleverer and more shining"),
    ("space", "How do you organise a party in space?", "You planet.", "it sounds like plan it"),
    ("space moon food", "Is the restaurant on the moon any good?", "The food is fine, but there is no atmosphere.", "atmosphere is air, and also the feeling of a place"),
    ("sun space", "Why did the sun not go to university?", "It already has a million degrees.", "degrees measure heat and are also what you get at a university"),
    ("snow snowman winter", "What do snowmen eat for breakfast?", "Snowflakes.", "it sounds like cornflakes"),
    ("snow snowman winter", "What do you call an old snowman?", "Water.", "it has melted by then"),
    ("rain weather cloud", "What does a cloud wear under its coat?", "Thunderwear.", "it sounds like underwear with thunder"),
    ("wind weather", "What is a tornado's favourite game?", "Twister.", "twister is a game and another word for tornado"),
    ("mountain", "Why are mountains so funny?", "They are hill areas.", "it sounds like hilarious"),
    ("river water", "Why is the river so rich?", "It has two banks.", "banks keep money and are also the sides of a river"),
    ("lighthouse sea", "Why did the lighthouse keeper quit?", "Too many ups and downs.", "a lighthouse has many stairs, and ups and downs are good and bad days"),
    ("mill wind", "What kind of music does a windmill like?", "It is a big metal fan.", "a fan makes wind and is also someone who likes something"),
    ("doctor", "Doctor, I feel like a pair of curtains!", "Then pull yourself together.", "you pull curtains together, and it also means to calm down"),
    ("car", "What did the traffic light say to the car?", "Do not look, I am changing.", "a light changes its colour, and people change clothes"),
    ("car tyre", "Why did the bicycle fall over?", "It was two-tired.", "it sounds like too tired, and it has two tyres"),
    ("train", "Why was the train late?", "It lost track of time.", "trains run on tracks, and to lose track of time means to forget it"),
    ("shoe sport", "What kind of shoes do spies wear?", "Sneakers.", "to sneak means to move in secret"),
    ("sport football", "Why did the football field get so hot?", "All the fans had left.", "fans cool the air and are also people who watch sport"),
    ("sport golf", "Why did the golfer bring two pairs of socks?", "In case he got a hole in one.", "a hole in one is a perfect shot, and also a problem with a sock"),
    ("house wall", "What did one wall say to the other?", "Let us meet at the corner.", "walls really do meet at the corner"),
    ("candle", "Why did the candle quit its job?", "It was burnt out.", "burnt out means exhausted, and that is how a candle ends"),
    ("king queen", "Where does the king keep his armies?", "In his sleevies.", "armies sounds like little arms, which go in sleeves"),
    ("knight king", "Why did the knight carry an umbrella?", "It was a rainy knight.", "knight sounds like night"),
    ("dragon", "Why do dragons sleep all day?", "So that they can fight knights.", "knights sounds like nights"),
    ("witch", "What is a witch's best subject?", "Spelling.", "witches cast spells, and spelling is a school subject"),
    ("nose", "Why can a nose not be twelve inches long?", "Then it would be a foot.", "twelve inches make one foot"),
    ("balloon", "Why should you never let a balloon hold a speech?", "It is full of hot air.", "full of hot air means talking nonsense"),
    ("bed sleep", "Why did the bed go to the party?", "To make some new sheets.", "it sounds like mates, and beds have sheets"),
    ("paper", "Do you want to hear a joke about paper?", "Better not, it is tearable.", "tearable sounds like terrible, and paper tears"),
    ("glue", "I read a book about glue.", "I could not put it down.", "a good book is hard to put down, and so is anything with glue"),
    ("elevator", "I wanted to tell a joke about a lift.", "But it has its ups and downs.", "a lift goes up and down"),
    ("boomerang", "I forgot how to throw a boomerang.", "Then it came back to me.", "things we remember come back, and so does a boomerang"),
    ("dance", "I tried to write a joke about standing still.", "It did not go anywhere.", "to go nowhere means to have no success"),
    ("vacuum house", "I bought a vacuum cleaner last year.", "So far it only gathers dust.", "a thing that gathers dust is not used, but that is a vacuum cleaner's work"),
    ("model token", "I asked a language model for a long joke.", "It ran out of context.", "models can only read so much text at once, and that is called the context"),
    ("token money", "I counted my tokens before going to sleep.", "I was out before the first million.", "people count sheep to fall asleep"),
]
KNOCKS = [
    ("Lettuce", "Lettuce in, it is cold out here!"), ("Boo", "Do not cry, it is only a joke!"),
    ("Cows", "No, cows say moo!"), ("Olive", "Olive you too!"), ("Ice cream", "Ice cream every time I see a ghost!"),
    ("Atch", "Bless you!"), ("Harry", "Harry up and open the door!"), ("Tank", "You are welcome!"),
    ("Token", "Token you for opening the door!"), ("Nobel", "Nobel, so I knocked!"), ("Wooden shoe", "Wooden shoe like to know!"),
    ("Alpaca", "Alpaca the bag, you bring the car!"), ("Annie", "Annie thing you can do, I can do too!"),
]  # fmt: skip
RIDDLES = [
    ("What has keys but opens no doors?", "a piano"), ("What has hands but cannot clap?", "a clock"),
    ("What gets wetter the more it dries?", "a towel"), ("What has a neck but no head?", "a bottle"),
    ("What has teeth but cannot bite?", "a comb"), ("What goes up and never comes down?", "your age"),
    ("What has one eye but cannot see?", "a needle"), ("What can you catch but not throw?", "a cold"),
    ("What has legs but does not walk?", "a table"), ("What is full of holes and still holds water?", "a sponge"),
    ("What runs but has no legs?", "a river"), ("What has many leaves but is no tree?", "a book"),
    ("What has a bed but never sleeps?", "a river"), ("What has ears but cannot hear?", "a field of corn"),
    ("What gets bigger the more you take away?", "a hole"), ("What can fill a room but takes no space?", "light"),
    ("What do you break before you use it?", "an egg"), ("What is always in front of you but cannot be seen?", "the future"),
    ("What has a face and two hands but no arms or legs?", "a clock"), ("What belongs to you but is used more by others?", "your name"),
    ("What flies without wings?", "time"), ("What has words but never speaks?", "a book"),
]  # fmt: skip
TWISTERS = [
    "Six slim snakes slide silently south.", "Ten tiny tokens took turns on the track.", "Big blue boats bring brown bread.",
    "Fresh fish for five funny foxes.", "Millers mill more millet on misty Mondays.", "Seven silver swans swam softly.",
    "Greta grabbed green grapes from Greg.", "Which witch washed the wizard's wet watch?", "Two tired toads trotted to town.",
]  # fmt: skip

ASK_JOKE = [
    "[tell|give|make] me [a|one|a good|a short|a funny|another|some|a quick|a silly|a clean|a nice|a really good] [joke|joke please|joke, please]",
    "Tell me a joke.", "Tell me a joke", "[tell|say] [a joke|something funny|a funny joke]", "[a joke|joke|jokes|one joke|joke time|joke!]",
    "[make me|I want to|I need to|let me] [laugh|smile]", "Do you know [a|any|any good|some|a good|a funny] [joke|jokes]?",
    "[can|could] you [tell|give] me [a|one|a good|a funny] joke?", "[I want|I'd like|I would like|I need|give us] [a joke|to hear a joke|a good joke]",
    "[let's hear|let me hear|show me|hit me with] [a joke|one of your jokes|your best joke|a good one|something funny]",
    "[What is|what's] your [best|favourite|funniest] joke?", "Got any [jokes|good jokes|jokes for me]?", "be funny", "[cheer me up|entertain me|amuse me]",
    "I am bored, tell me [a joke|something funny]", "know any jokes?", "[dad joke|tell me a dad joke|a pun please|tell me a pun]", "make a joke",
    "tell us a joke", "can you be funny?", "are you funny?", "say a joke", "I could use [a laugh|a joke|something funny][ right now|]", "I need [a laugh|cheering up|something to laugh about]", "do you have a joke for me?", "I'd love [a joke|to hear a joke|to hear something funny|a good laugh]", "[how about|what about] a joke?", "time for a joke", "lighten the mood", "let me hear something silly", "something silly please", "[tell|give] me something [funny|silly]", "what is a good joke?", "your best joke please", "I want to laugh", "a bit of humour please", "jokes, please", "can I hear a joke?", "are there any jokes you know?", "what's the funniest joke you know", "one joke for the road",
]  # fmt: skip
ASK_TOPIC = [
    "[tell|give] me a joke about {t}", "a joke about {t}", "joke about {t}", "do you know [a|any] [joke|jokes] about {t}?",
    "[tell me|make|do you have|I want|I'd like] a [funny|short|good|] joke about {t}", "make a joke about {t}", "something funny about {t}",
    "[have you got|got] a joke with {t}?", "a {s} joke please", "tell me a {s} joke", "do you know a {s} joke?", "can you tell a joke on {t}?", "[I'd love|I want|I would like] to hear [something silly|something funny|a joke] about {t}", "give me a joke on {t}", "something silly about {t}", "anything funny about {t}?", "what is funny about {t}?", "know something funny about {t}?", "[tell|make] me laugh about {t}", "jokes on {t}", "{t} joke", "now one about {t}", "how about a joke about {t}?", "is there a joke about {t}?", "your best joke about {t}", "tell me a joke about {t}, if you know one",
]  # fmt: skip
ASK_MORE = [
    "[another|another one|another joke|one more|one more joke|more|again|next|next one|more jokes|a different one|a new one|tell me another|tell another one|do you have another]",
    "[tell me another one|give me another one|another one please|another joke please|one more please|tell me one more|got another|any more|more please|a second one]",
    "[haha, another one|lol another|nice, one more|good one, another|do you have more|do you know another one|ok next|next joke|now another|and another|encore|keep going|go on]",
    "[that was good, another|that was bad, try another|I know that one, another|a better one|do you have a better one|not funny, try again|boring, another one|I have heard that one]",
    "[ok|nice|good|haha|great|cool|hm|not bad|that one was good|that was funny|I liked that][,|.] [one more?|another?|one more please|more?|next one|do you have one more?|give me another|and one more|the next one please]",
]  # fmt: skip
ASK_WHY = [
    "[I don't get it|I do not get it|explain|explain it|explain the joke|explain that|why is that funny|why|what does that mean|what's funny about that|huh|I don't understand|can you explain it|why is it funny|please explain the joke]",
    "[I do not understand the joke|I don't understand that joke|why is this funny?|what do you mean?|how is that funny?|how is that a joke|explain that joke to me|hm, I don't get that|sorry I don't understand, what's so funny about it|what's so funny|where is the joke|what is funny about that|I am lost, explain|could you explain that one|what is the joke|sorry, I didn't get it]",
]  # fmt: skip
LAUGH = ["[haha|hahaha|lol|ha ha|good one|nice one|that is funny|that was funny|that's a good one|very funny|lmao|hehe|funny|I like it|I like that one|:D|rofl|great joke|that made me laugh|you are funny|you're funny]"]
GROAN = ["[not funny|that is not funny|that was bad|boring|that was terrible|ugh|bad joke|that is a bad joke|meh|lame|that wasn't funny|awful|I didn't laugh|that's so bad]"]

PLURALS = {"fish": "fish", "sheep": "sheep", "maths": "maths", "food": "food", "music": "music", "sport": "sport", "mouse": "mice", "money": "money", "time": "time", "water": "water", "weather": "the weather", "space": "space", "winter": "winter", "school": "school", "snow": "snow", "rain": "rain", "wind": "the wind", "sea": "the sea", "moon": "the moon", "sun": "the sun", "bread": "bread", "cheese": "cheese", "coffee": "coffee", "tea": "tea", "corn": "corn", "code": "code", "travel": "travelling", "sleep": "sleep", "library": "libraries", "witch": "witches", "calendar": "calendars", "tomato": "tomatoes", "potato": "potatoes", "glue": "glue", "football": "football", "golf": "golf", "octopus": "octopuses", "fox": "foxes", "paper": "paper"}  # fmt: skip
TOPICS = {}
for _joke in JOKES:
    for _topic in _joke[0].split():
        TOPICS.setdefault(_topic, []).append(_joke)
OTHER_TOPICS = "politicians lawyers zebras giraffes hamsters taxes marriage weddings tables quantum doctors-and-nurses aeroplanes tigers lions monkeys camels trousers hats spoons chess engineers mathematicians lifts bananas-and-monkeys philosophers rockets volcanoes bridges kangaroos turtles goats donkeys wolves bats squirrels hedgehogs violins drummers economists managers accountants printers passwords databases rust python java linux keyboards phones television films Germany France London Paris vampires zombies aliens unicorns mermaids grandmothers babies teenagers neighbours dentists waiters plumbers firemen soldiers astronauts beards socks umbrellas soup noodles chocolate sushi spaghetti onions garlic".split()


def plural(topic):
    return PLURALS.get(topic, topic + "s")


def told(joke):
    """The joke as it is told."""
    return f"{joke[1]}\n\n{joke[2]}" if joke[1].endswith("?") else f"{joke[1]} {joke[2]}"


def opening(talk):
    return talk.rng.choice(("", "", "", "Sure! ", "Here is one: ", "Of course. ", "With pleasure: ", "Here you go: ", "All right: "))


def tell(talk, joke, lead):
    text = told(joke)
    if lead and "\n" in text:
        lead = lead.rstrip()
        text = f"{lead}\n\n{text}" if talk.rng.random() < 0.5 else f"{lead} {text}"
    else:
        text = lead + text
    talk.reply(text, [more, more, more, lambda t: why(t, joke), lambda t: why(t, joke), laugh, groan])


def joke(talk):
    """A joke about anything."""
    talk.ask(ASK_JOKE)
    tell(talk, talk.fresh("joke", JOKES), opening(talk))


def topic_joke(talk):
    """A joke about something: known topics get a fitting one, others any joke, with a word about it."""
    if talk.rng.random() < 0.7:
        topic = talk.rng.choice(sorted(TOPICS))
        talk.ask(ASK_TOPIC, t=plural(topic), s=topic)
        choice = talk.fresh("topic " + topic, TOPICS[topic])
        return tell(talk, choice, opening(talk))
    topic = talk.rng.choice(OTHER_TOPICS).replace("-", " ")
    talk.ask(ASK_TOPIC, t=topic, s=topic)
    lead = talk.rng.choice((f"I have no joke about {topic}, but here is another one: ", f"I know none about {topic}. How about this one: ", f"Nothing about {topic}, sorry. But try this: "))
    tell(talk, talk.fresh("joke", JOKES), lead)


def more(talk):
    talk.ask(ASK_MORE, polite=False)
    tell(talk, talk.fresh("joke", JOKES), talk.rng.choice(("", "", "", "Here is another one: ", "One more: ", "Of course: ", "Gladly: ")))


def why(talk, joke):
    talk.ask(ASK_WHY, polite=False)
    reason = joke[3]
    talk.answer([f"It is a play on words: {reason}.", f"{capital(reason)}. That is the whole joke.", f"The joke is that {reason}.", f"Well, {reason}. Jokes get worse when you explain them!"], [more, laugh])


def laugh(talk):
    talk.ask(LAUGH, polite=False)
    talk.answer(["I am glad you liked it! [Would you like another one?|Shall I tell another?|Just say \"another one\" for more.]", "Thank you! [I have more of those.|I will be here all day.|Do you want another one?]", "[Happy to make you laugh|Glad that worked]! [Want another?|Another one?]"], [more_yes, more, more])


def groan(talk):
    talk.ask(GROAN, polite=False)
    talk.answer(["Fair enough, they cannot all be winners. [Shall I try another one?|Want me to try again?]", "Sorry about that! [I have better ones. Would you like to hear one?|Shall I try another?]", "I am a small model with small jokes. [Shall I try again?|Another one?]"], [more_yes, more_yes, more])


def more_yes(talk):
    talk.ask(["[yes|yes please|sure|ok|okay|yeah|yep|go on|please|why not|yes, another one|yes do|of course|go ahead|try|try again|ok then|alright]"], polite=False)
    tell(talk, talk.fresh("joke", JOKES), talk.rng.choice(("", "", "Here you go: ", "All right: ", "Great: ")))


def knock(talk):
    """Knock-knock, started by either side."""
    who, line = talk.fresh("knock", KNOCKS)
    if talk.rng.random() < 0.5:
        talk.ask(["[tell me|do you know|let's do|give me|make|make me|how about|I want] a knock knock joke", "knock knock joke", "do a knock-knock joke"])
        talk.answer(["Knock, knock!", "Sure! Knock, knock!"])
        talk.ask(["[Who's there?|who is there?|who is it?|who's there]"], polite=False)
        talk.reply(f"{who}.")
        talk.ask([f"{who} who?"], keep=[who], polite=False)
        talk.reply(line, [more, laugh])
    else:
        talk.ask(["[knock knock|knock, knock|Knock knock!|knock-knock]"], polite=False)
        talk.reply("Who's there?")
        name = talk.rng.choice(("Lettuce", "Boo", "Cow", "Olive", "Harry", "Tank", "Sam", "Anna", "Ben", "Justin", "Iva", "Luke", "Candice", "Amos", "Canoe", "Dewey", "Figs", "Nana", "Orange", "Water", "Ken", "Howard", "Police", "Europe", "Spell", "Ash", "Leaf"))
        talk.ask([f"{name}", f"{name}.", f"it's {name}", f"{name}!"], keep=[name], polite=False)
        talk.reply(f"{name} who?")
        talk.ask([f"{name} [in the house|you a hug|up, it is cold|let me in|at the door|see you soon|and go home|help me please|you like it|be late again|get some sleep]!"], keep=[name], polite=False)
        talk.answer(["Ha! [Good one.|That is a good one.|Very good.] [I will remember that until this conversation ends.|Do you know another?|Shall I tell one too?]"], [more])


def riddle(talk):
    riddle, answer = talk.fresh("riddle", RIDDLES)
    talk.ask(["[tell|give|ask] me a [riddle|good riddle|short riddle|puzzle]", "[riddle|a riddle|riddle please|riddle me this|another riddle]", "do you know [a riddle|any riddles|riddles]?", "[let's do|I want|I'd like|can I have|ask me] a riddle", "let's play riddles", "a [short|good|little] riddle [for me|please|now|]", "give me something to guess", "a brain teaser", "test me with a riddle"])
    talk.answer([f"Here is one: {riddle}", riddle, f"Try this: {riddle}"])
    word = answer.split(" ", 1)[-1] if answer.startswith(("a ", "an ", "the ", "your ")) else answer
    if talk.rng.random() < 0.5:
        talk.ask(["[I don't know|I give up|no idea|tell me|what is it|what's the answer|dunno|idk|the answer please|what is the answer?|hmm|I have no clue|you tell me|pass|give me the answer]"], polite=False)
        talk.answer([f"The answer is: {answer}.", f"It is {answer}!", f"{capital(answer)}! Would you like another riddle?"], [riddle_more])
    elif talk.rng.random() < 0.6:
        talk.ask([f"[is it |it's |I think it is |maybe |it is |]{answer}", word], keep=[answer], polite=False)
        talk.answer([f"Yes, {answer}! Well done.", f"Correct, it is {answer}!", f"That's right: {answer}. [Would you like another one?|Well done!]"], [riddle_more])
    else:
        wrong = talk.rng.choice([a for _, a in RIDDLES if a != answer] + ["a dog", "a house", "the sun", "a shoe", "water", "a tree", "a car", "me", "you", "a fish", "a computer"])
        talk.ask([f"[is it |it's |I think it is |maybe |it is |]{wrong}"], keep=[wrong], polite=False)
        talk.answer([f"A good guess, but no: the answer is {answer}.", f"Not quite. It is {answer}."], [riddle_more])


def riddle_more(talk):
    talk.ask(["[another|another one|one more|more|another riddle|next|yes|yes please|ok|again]"], polite=False)
    riddle, answer = talk.fresh("riddle", RIDDLES)
    talk.answer([riddle, f"Here you go: {riddle}"])
    talk.ask(["[I don't know|I give up|no idea|tell me|what is it|what's the answer|dunno|the answer please]"], polite=False)
    talk.answer([f"The answer is: {answer}.", f"It is {answer}!"], [riddle_more])


def twister(talk):
    talk.ask(["[tell me|give me|do you know|say|I want] a tongue twister", "tongue twister", "a tongue twister please", "know any tongue twisters?"])
    talk.answer(["{t}", "Try this one: {t}", "Say this three times: {t}"], [lambda t: twister(t)], t=talk.fresh("twister", TWISTERS))


SKILLS = [(joke, 10), (topic_joke, 8), (knock, 2), (riddle, 3), (twister, 1)]
