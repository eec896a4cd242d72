"""Trains the byte-level BPE tokenizer on generated dialogues and writes tokenizer.json."""

import json

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus.mix import dialogues
from encoding import CONTROL, MARKS, SPLIT, TOKENIZER, VOCABULARY

SEED, DIALOGUES = 7, 120_000


def texts():
    for turns in dialogues(SEED, DIALOGUES):
        for role, text in turns:
            yield f"{role}\n{text}\n"


def main():
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=CONTROL + MARKS, initial_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY, tokenizer.get_vocab_size()
    described = json.loads(tokenizer.to_str())
    for token in described["added_tokens"]:
        token["special"] = token["content"] in CONTROL
    TOKENIZER.write_text(json.dumps(described, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
