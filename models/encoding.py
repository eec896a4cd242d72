"""From dialogues to token ids: the tokenizer's rules and the chat format, in one place."""

from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).parent
TOKENIZER = HERE / "tokenizer.json"
VOCABULARY = 4096

# The pre-tokenizer called "qwen2" in GGUF files. Digits stand alone, so that sums are done digit by digit.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = [END_OF_TEXT, START, END]
OPENING = "<think>\n"
MARKS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


class Chat:
    """Encodes dialogues with a loaded tokenizer."""

    def __init__(self, path=TOKENIZER):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.start, self.end, self.pad = (self.tokenizer.token_to_id(t) for t in (START, END, END_OF_TEXT))
        self.newline = self.plain("\n")
        self.opening = len(self.plain(OPENING))
        self.heads = {role: [self.start, *self.plain(f"{role}\n")] for role in ("system", "user", "assistant")}

    def plain(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def dialogue(self, turns):
        """Ids, and for each whether the model must learn to write it (the assistant's words and their end)."""
        ids, learn = [], []
        for role, text in turns:
            head, body = self.heads[role], [*self.plain(text), self.end]
            if role == "assistant" and text.startswith(OPENING):
                # The template opens the thinking.
                head, body = head + body[: self.opening], body[self.opening :]
            ids += head + body + self.newline
            learn += [0] * len(head) + [int(role == "assistant")] * len(body) + [0] * len(self.newline)
        return ids, learn

    def prompt(self, turns):
        """Ids of a dialogue that the assistant is to continue."""
        return self.dialogue(turns)[0] + self.heads["assistant"]
