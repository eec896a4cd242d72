"""OpenAI's Responses with the official package against the real binary."""

import json

import openai
import pytest
from pydantic import BaseModel

from conftest import MODEL

ASK = "What is the weather in Paris?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
NAMED = {"type": "function", "name": "get_weather"}


def ask(client, **changes):
    options = {"model": MODEL, "input": ASK, "max_output_tokens": 64, "temperature": 0}
    return client.responses.create(**{**options, **changes})


def test_a_plain_response(client):
    response = ask(client, instructions="Be brief.", metadata={"a": "b"})
    assert (response.object, response.model, response.metadata) == ("response", MODEL, {"a": "b"})
    assert response.output_text.strip()
    assert response.status in ("completed", "incomplete")
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.store is False and response.instructions == "Be brief."


def test_a_stream_has_its_events_in_order(client):
    plain = ask(client)
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] == f"response.{plain.status}"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == plain.output_text == events[-1].response.output_text


def test_the_streaming_helper_gives_the_plain_response(client):
    plain = ask(client, max_output_tokens=None)
    with client.responses.stream(model=MODEL, input=ASK, temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == plain.output_text
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_a_tool_round_trip(client):
    response = ask(client, tools=[WEATHER], tool_choice=NAMED, max_output_tokens=200)
    call = response.output[-1]
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    turns = [{"role": "user", "content": ASK}, *response.output, result]
    answer = ask(client, input=turns, tools=[WEATHER], tool_choice="none")
    assert answer.output_text is not None
    shorter = ask(client, tools=[WEATHER], tool_choice="none", max_output_tokens=1).usage.input_tokens
    assert answer.usage.input_tokens > shorter, "call and result are in the prompt"


def test_a_streamed_call(client):
    options = {"tools": [WEATHER], "tool_choice": NAMED, "max_output_tokens": 200}
    with client.responses.stream(model=MODEL, input=ASK, temperature=0, **options) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(event.delta for event in deltas) == done.arguments == final.output[-1].arguments
    assert json.loads(done.arguments) == json.loads(ask(client, **options).output[-1].arguments)


def test_a_pydantic_model_is_parsed(client):
    class Event(BaseModel):
        open: bool

    response = client.responses.parse(model=MODEL, input=ASK, text_format=Event, temperature=0)
    assert isinstance(response.output_parsed, Event)


def test_items_may_be_sent_back_as_they_came(client):
    first = ask(client)
    turns = [{"role": "user", "content": ASK}, *first.output, {"role": "user", "content": "Another one, please."}]
    second = ask(client, input=turns, max_output_tokens=1)
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens // 2


def test_logprobs(client):
    response = ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    part = response.output[0].content[0]
    assert part.logprobs and all(len(token.top_logprobs) == 2 for token in part.logprobs)
    said = b"".join(bytes(token.bytes) for token in part.logprobs).decode(errors="replace")
    assert said.startswith(part.text[:20])


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"extra_body": {"temprature": 1}}, "temprature"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client, changes, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, **changes)
    assert refusal.value.param == param and param in str(refusal.value)
