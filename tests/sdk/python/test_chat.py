"""The official Python package against the real binary: what a user's program does, unchanged but for the URL."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import MODEL

JOKE = [{"role": "user", "content": "Tell me a joke."}]


def chat(client, **changes):
    options = {"model": MODEL, "messages": JOKE, "max_tokens": 48, "seed": 7}
    return client.chat.completions.create(**{**options, **changes})


def test_a_plain_answer(client):
    completion = chat(client)
    choice = completion.choices[0]
    assert completion.object == "chat.completion"
    assert completion.model == MODEL
    assert completion.id and completion.system_fingerprint
    assert choice.message.role == "assistant"
    assert choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length")
    usage = completion.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 48
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_streamed_answer_is_the_plain_one(client):
    plain = chat(client)
    stream = chat(client, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert finishes == [plain.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 4, "it came in pieces"


def test_several_turns(client):
    messages = [{"role": "system", "content": "You are friendly."}, {"role": "user", "content": "Hello!"}]
    for turn in ("Tell me a joke.", "Another one, please."):
        answer = chat(client, messages=messages).choices[0].message
        assert answer.content.strip()
        messages += [{"role": answer.role, "content": answer.content}, {"role": "user", "content": turn}]
    before = chat(client, messages=messages[:2]).usage.prompt_tokens
    assert chat(client, messages=messages).usage.prompt_tokens > before, "earlier turns are part of the prompt"


def test_several_at_once_are_the_same_as_alone(client):
    def ask(seed):
        return chat(client, seed=seed, temperature=1.0).choices[0].message.content

    seeds = range(8)
    alone = [ask(seed) for seed in seeds]
    with ThreadPoolExecutor(len(seeds)) as pool:
        together = list(pool.map(ask, seeds))
    assert together == alone
    assert len(set(alone)) > 1, "seeds make a difference"


def test_several_choices(client):
    completion = chat(client, n=3, temperature=1.0)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]


def test_a_stop_string_is_not_part_of_the_answer(client):
    text = chat(client).choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    stopped = chat(client, stop=stop).choices[0]
    assert stopped.message.content == text[: text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_leaving_in_mid_stream_frees_the_slot(server, client):
    server.wait_for_metric("tokenmill_engine_running", 0)
    before = server.metric("tokenmill_engine_generated_tokens_total")
    stream = chat(client, stream=True, max_tokens=1500, extra_body={"ignore_eos": True})
    for _ in zip(range(3), stream):
        pass
    assert server.metric("tokenmill_engine_running") == 1
    stream.close()
    server.wait_for_metric("tokenmill_engine_running", 0)
    generated = server.metric("tokenmill_engine_generated_tokens_total") - before
    assert generated < 1000, "the engine stopped long before the 1500 tokens that were asked for"
    assert server.metric("tokenmill_engine_pages_used") == 0
    # The question itself is in flight while it is answered.
    server.wait_for_metric("tokenmill_http_requests_in_flight", 1)


def test_the_models_are_listed(client):
    listed = client.models.list().data
    assert [model.id for model in listed] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def error_of(kind, call):
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def test_a_wrong_key(server):
    stranger = server.client(api_key="tm-not-a-key")
    error = error_of(openai.AuthenticationError, lambda: chat(stranger))
    assert error.status_code == 401
    assert error.body["message"] == "Authentication failed"
    assert (error.code, error.param) == ("invalid_api_key", None)


def test_an_unknown_project(server):
    elsewhere = server.client(project="nobody/inference")
    error = error_of(openai.AuthenticationError, lambda: chat(elsewhere))
    assert error.code == "team_not_accessible"
    error = error_of(openai.BadRequestError, lambda: chat(server.client(project="no-slash")))
    assert error.code == "invalid_project"


def test_an_unknown_model(client):
    error = error_of(openai.NotFoundError, lambda: chat(client, model="nobody/nothing"))
    assert error.body["message"] == "The requested resource was not found"
    assert (error.code, error.param) == ("model_not_found", "model")


def test_an_unknown_field(client):
    error = error_of(openai.BadRequestError, lambda: chat(client, extra_body={"temprature": 1}))
    assert (error.code, error.param) == ("unknown_parameter", "temprature")
    assert "temprature" in error.body["message"]


def test_a_value_out_of_range(client):
    error = error_of(openai.BadRequestError, lambda: chat(client, temperature=3))
    assert error.param == "temperature"


def test_a_prompt_that_is_too_long(client):
    long = [{"role": "user", "content": "word " * 20_000}]
    error = error_of(openai.BadRequestError, lambda: chat(client, messages=long))
    assert error.code == "context_length_exceeded"
