"""Thinking of the built-in model: off unless turned on, apart from the answer, whole and streamed."""

from conftest import MODEL

ASK = [{"role": "user", "content": "What is 36 + 47?"}]
THINK = {"chat_template_kwargs": {"enable_thinking": True}}


def ask(client, **changes):
    options = {"model": MODEL, "messages": ASK, "max_tokens": 300, "temperature": 0}
    return client.chat.completions.create(**{**options, **changes})


def test_it_thinks_where_told_to(client):
    completion = ask(client, extra_body=THINK)
    message = completion.choices[0].message
    assert "83" in message.reasoning and "83" in message.content
    assert "think>" not in message.reasoning + message.content
    n_thinking = completion.usage.completion_tokens_details.reasoning_tokens
    assert 0 < n_thinking < completion.usage.completion_tokens


def test_it_does_not_think_otherwise(client):
    completion = ask(client)
    assert completion.choices[0].message.reasoning is None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0
    assert "83" in completion.choices[0].message.content


def test_the_stream_is_the_plain_answer(client):
    plain = ask(client, extra_body=THINK).choices[0].message
    deltas = [chunk.choices[0].delta for chunk in ask(client, extra_body=THINK, stream=True) if chunk.choices]
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == plain.reasoning
    assert "".join(delta.content or "" for delta in deltas) == plain.content
