"""The 100 held-back prompts. Run to rewrite prompts.jsonl after a change here.

Each has a kind, the conversation (a plain string is a user turn; turns alternate) and, where a machine
can check the answer, a regular expression. What no expression can judge is read by a person.
"""

import json
from pathlib import Path

PROMPTS = [
    ("greet", ["Hi there! First time here."], ""),
    ("greet", ["hello, good to meet you"], ""),
    ("greet", ["Good morning, dear model"], ""),
    ("greet", ["hey whats going on"], ""),
    ("greet", ["Hello! Who do I have the pleasure of talking to?"], "model"),
    ("greet", ["how are you feeling this morning"], ""),
    ("greet", ["ok bye now, thanks for everything"], ""),
    ("joke", ["Tell me your funniest joke, please!"], ""),
    ("joke", ["i could use a laugh right now"], ""),
    ("joke", ["Could you tell me a joke about a cow?"], "(?i)cow"),
    ("joke", ["give me a joke on computers pls"], "(?i)comput|program|laptop|server|window|cache|file|key|request|bug|robot|spider|virus|mouse"),
    ("joke", ["I'd love to hear something silly about pirates"], "(?i)pirate"),
    ("joke", ["Tell me a joke.", "Why was the maths book sad?\n\nIt had too many problems.", "ok that one was good. one more?"], "(?s)^(?!.*maths book)"),
    ("joke", ["joke", "Why are fish so clever?\n\nThey spend their lives in schools.", "sorry i dont understand, whats so funny about it"], "(?i)school"),
    ("joke", ["make me a knock knock joke please"], "(?i)knock"),
    ("joke", ["a short riddle for me?"], r"\?"),
    ("joke", ["Tell me a joke about mathematics, if you know one"], ""),
    ("about", ["So what exactly is Tokenmill, in a nutshell?"], "(?i)model"),
    ("about", ["How would one create another API key?"], "tokenmill keys create"),
    ("about", ["need api key how"], "tokenmill keys create"),
    ("about", ["I want my answers streamed, what do I need to set?"], "(?i)stream\"?: ?true|stream=true"),
    ("about", ["what must i do for streaming in my request"], "(?i)stream\"?: ?true|stream=true"),
    ("about", ["How can I run my own GGUF with this?"], "serve --model"),
    ("about", ["where do i say which model file the server should load"], "serve --model"),
    ("about", ["I already use the OpenAI Python library. How do I switch it to Tokenmill?"], "127.0.0.1:8080/v1"),
    ("about", ["whats the base_url i have to put in"], "127.0.0.1:8080/v1"),
    ("about", ["In which place on my disk does Tokenmill put its data?"], "(?i)data directory"),
    ("about", ["How can I have a look at what's inside a GGUF?"], "tokenmill inspect"),
    ("about", ["is it possible to chat with it in my terminal?"], "tokenmill chat"),
    ("about", ["Which models is this server offering right now?"], "tokenmill models|/v1/models"),
    ("about", ["how can i make the server stop"], "(?i)ctrl-c"),
    ("about", ["May I use Tokenmill in a commercial product?"], "(?i)apache|commercial"),
    ("about", ["Explain to me what GGUF files are good for"], "(?i)file"),
    ("about", ["how do spending caps work in tokenmill"], "(?i)cap"),
    ("about", ["What are credits needed for?"], "(?i)credit|prepaid"),
    ("about", ["tell me what teams and projects are for"], "(?i)team"),
    ("about", ["Somebody saw my API key! How can I make it invalid?"], "keys revoke"),
    ("about", ["can tokenmill run without a graphics card?"], "(?i)no gpu|cpu"),
    ("about", ["I'd like it on port 9090 instead"], "--listen"),
    ("about", ["how large are you, little model?"], "10 million"),
    ("about", ["Who has trained you and on which data?"], "(?i)project"),
    ("about", ["could you give me a curl call to try out?"], "curl http"),
    ("about", ["What does the error 401 want to tell me?"], "(?i)key"),
    ("sum", ["What is 17 plus 26?"], r"\b43\b"),
    ("sum", ["7+5"], r"\b12\b"),
    ("sum", ["could you work out 64 - 28 for me"], r"\b36\b"),
    ("sum", ["nine times seven"], r"\b63\b"),
    ("sum", ["what's forty-two plus thirteen"], r"\b55\b"),
    ("sum", ["How much is 96 divided by 8?"], r"\b12\b"),
    ("sum", ["I have 14 apples and eat 5 of them. How many remain?"], r"\b9\b"),
    ("sum", ["Mia has 6 bags of 7 marbles. How many marbles does she have?"], r"\b42\b"),
    ("sum", ["what is 8*6", "8 × 6 = 48.", "and minus 19?"], r"\b29\b"),
    ("sum", ["15 + 9", "15 + 9 = 24.", "double it"], r"\b48\b"),
    ("sum", ["which one is larger, 58 or 85?"], r"^\W*85|85 is (bigger|larger|greater)"),
    ("sum", ["12 - 5 + 9 = ?"], r"\b16\b"),
    ("sum", ["what is 93847 times 20394?"], "(?i)big|can't|only|small"),
    ("sum", ["118 + 247"], r"\b365\b"),
    ("story", ["Please tell me a story about a fox and a lighthouse."], "(?i)(?=.*fox).*lighthouse"),
    ("story", ["can i have a bedtime story for my daughter"], ""),
    ("story", ["Tell me a tale of a robot and a violin"], "(?i)(?=.*robot).*violin"),
    ("story", ["short story, with a dragon who lives in a library"], "(?i)(?=.*dragon).*library"),
    ("story", ["Write a one-sentence bedtime story about a hedgehog."], "(?i)hedgehog"),
    ("story", ["I'd like to read a story about a penguin called Gustav"], "(?i)(?=.*penguin).*Gustav"),
    ("story", ["tell me a story about a cat", "Once upon a time there was a curious cat called Milo, who lived near a mill. One foggy morning, a bell went missing, and everybody was worried. Milo asked the crow, looked behind every stone, and at last found the bell inside an old boot. All the neighbours came to say thank you, and there was soup for everyone.", "and what was the cat's name?"], "Milo"),
    ("story", ["tell me a story", "In a harbour far away lived a shy bear named Ida. Ida could not sleep. The wind howled around the harbour. So Ida took a lamp and went for a walk. A heron was awake too, counting stars. They sat down, said little, and watched the clouds. Before long both of them were asleep.", "can you make that a bit shorter?"], "Ida"),
    ("story", ["write me a little poem about a mouse"], "(?i)mouse"),
    ("story", ["a story about a wizard, a mountain and a key please!"], "(?i)(?=.*wizard).*(mountain|key)"),
    ("follow", ["I am Sam", "Nice to meet you, Sam! How can I help you?", "whats my name?"], "Sam"),
    ("follow", ["Hello, my name is Beatrice.", "Nice to meet you, Beatrice! How can I help you?", "what is 3 + 4?", "3 + 4 = 7.", "Do you still know my name?"], "Beatrice"),
    ("follow", ["What is GGUF?", "GGUF is a file format for language models.", "what was it that I just asked?"], "(?i)what is gguf"),
    ("follow", ["how do I make a key?", "Run `tokenmill keys create`. The key is shown once, so copy it right away.", "great, thank you so much!"], "(?i)welcome|pleasure|gladly"),
    ("follow", ["how do I make a key?", "Run `tokenmill keys create`. The key is shown once, so copy it right away.", "and how do I see the ones I have?"], "keys list"),
    ("follow", ["Will it rain tomorrow?", "I can't see the weather: I have no connection to the outside world.", "why not?"], "(?i)small|tiny|connection"),
    ("follow", ["can you write python?", "I can't write or explain code: I'm a small demonstration model.", "then what are you able to do?"], "(?i)joke"),
    ("follow", ["how do I start the server?", "Run `tokenmill serve`. With nothing else given it listens on 127.0.0.1:8080, serves the built-in model, and prints the base URL, a key and a curl line that you can paste.", "and how is it stopped?"], "(?i)ctrl-c"),
    ("follow", ["my favourite colour is turquoise", "Turquoise is a nice colour!", "which colour did I say I like?"], "(?i)turquoise"),
    ("follow", ["count to 5", "1, 2, 3, 4, 5", "now up to eight"], "8"),
    ("follow", ["tell me about tokenmill", "Tokenmill is one program that serves language models over an OpenAI-compatible API. It has its own inference engine, so it runs on a laptop with nothing else installed, and it manages keys, teams, projects, credits and caps.", "can you say it shorter?"], ""),
    ("follow", ["what's my name?"], "(?i)not told|don't know|do not know"),
    ("cannot", ["How's the weather in Hamburg at the moment?"], "(?i)can't|cannot|don't"),
    ("cannot", ["Write me a Python program that sorts numbers"], "(?i)can't|beyond|too hard|cannot"),
    ("cannot", ["how do you say cheese in french"], "(?i)can't|only"),
    ("cannot", ["What happened in the news today?"], "(?i)don't|nothing|can't"),
    ("cannot", ["Who was Napoleon Bonaparte?"], "(?i)don't|can't|little"),
    ("cannot", ["explain general relativity like I'm ten"], "(?i)don't|can't|little|small|beyond"),
    ("cannot", ["My knee has been hurting for days, what medicine should I take?"], "(?i)doctor"),
    ("cannot", ["whats the time in new york"], "(?i)clock|can't|don't"),
    ("cannot", ["Should I put my savings into shares?"], "(?i)can't|ask|expert"),
    ("cannot", ["please write an essay on the causes of the first world war"], "(?i)can't|beyond|too much"),
    ("cannot", ["xkqj vvbn qqw"], "(?i)understand|not sure|sorry|beyond"),
    ("cannot", ["Can you generate a picture of a sunset?"], "(?i)can't|beyond|too much|only"),
    ("basics", ["please count up to twelve"], "10, 11, 12"),
    ("basics", ["Which day follows after Thursday?"], "Friday"),
    ("basics", ["What's the capital city of France, please?"], "Paris"),
    ("basics", ["repeat after me: seven purple parrots sing"], "(?i)seven purple parrots sing"),
    ("basics", ["What colour do you get from blue and yellow?"], "(?i)green"),
    ("basics", ["can you list all the months"], "(?s)January.*December"),
    ("basics", ["how many days does one week have"], "7|seven"),
    ("basics", ["please spell lighthouse for me"], "L-I-G-H-T-H-O-U-S-E"),
    ("basics", ["opposite of loud?"], "(?i)quiet|soft|silent"),
]
ROLES = ("user", "assistant")


def main():
    assert len(PROMPTS) == 100, len(PROMPTS)
    lines = []
    for at, (kind, turns, check) in enumerate(PROMPTS, 1):
        messages = [{"role": ROLES[n % 2], "content": text} for n, text in enumerate(turns)]
        if at % 5 == 0:
            messages.insert(0, {"role": "system", "content": "You are a helpful assistant."})
        lines.append(json.dumps({"id": at, "kind": kind, "messages": messages, "check": check}, ensure_ascii=False))
    (Path(__file__).parent / "prompts.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
