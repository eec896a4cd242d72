"""OpenAI's older completions, and the tokens of a prompt, against the real binary."""

import json
import urllib.request

import openai
import pytest

from conftest import MODEL

PROMPT = "Once upon a time"


def ask(client, **changes):
    options = {"model": MODEL, "prompt": PROMPT, "max_tokens": 32, "temperature": 0}
    return client.completions.create(**{**options, **changes})


def post(server, path, **body):
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.key}"}
    data = json.dumps({"model": MODEL, **body}).encode()
    request = urllib.request.Request(server.base_url.removesuffix("/v1") + path, data, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_a_streamed_completion_is_the_plain_one(client):
    plain = ask(client)
    assert (plain.object, plain.model) == ("text_completion", MODEL)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == plain.choices[0].text
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens


def test_token_ids_are_a_prompt(client, server):
    ids = post(server, "/tokenize", prompt=PROMPT)["tokens"]
    assert ask(client, prompt=ids).choices[0].text == ask(client).choices[0].text


def test_an_echo(client):
    assert ask(client, echo=True).choices[0].text == PROMPT + ask(client).choices[0].text


def test_logprobs_in_the_older_shape(client):
    choice = ask(client, logprobs=2).choices[0]
    told = choice.logprobs
    n = len(told.tokens)
    assert n == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) > 0
    assert all(token in top for token, top in zip(told.tokens, told.top_logprobs))
    assert told.text_offset == sorted(told.text_offset) and told.text_offset[0] == 0


def test_a_conversation_written_by_its_template_is_the_same_prompt(client, server):
    messages = [{"role": "user", "content": "Tell me a joke."}]
    written = post(server, "/apply-template", messages=messages)["prompt"]
    ids = post(server, "/tokenize", messages=messages)
    assert post(server, "/tokenize", prompt=written)["tokens"] == ids["tokens"]
    assert post(server, "/detokenize", tokens=ids["tokens"])["prompt"].endswith(written)
    chat = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=32, temperature=0)
    assert chat.usage.prompt_tokens == ids["count"]
    assert ask(client, prompt=written).choices[0].text == chat.choices[0].message.content


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"suffix": "x"}, "suffix"), ({"prompt": ["a", "b"]}, "prompt"), ({"n": 1, "best_of": 2}, "best_of")],
)
def test_what_cannot_be_done_is_refused_by_name(client, changes, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, **changes)
    assert refusal.value.param == param
