"""Functions, forced and not, with the official package. The grammar makes the form, so a tiny model does."""

import json

import openai
import pytest

from conftest import MODEL

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
STOP = {"type": "function", "function": {"name": "stop"}}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask(client, **changes):
    options = {"model": MODEL, "messages": ASK, "tools": [WEATHER, STOP], "max_tokens": 200, "seed": 5}
    return client.chat.completions.create(**{**options, **changes})


def check_weather(call):
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Paris", "Rome")
    assert 1 <= arguments["days"] <= 7
    assert set(arguments) == {"city", "days"}


NAMED = {"type": "function", "function": {"name": "get_weather"}}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("choice", [NAMED, ALLOWED])
def test_a_named_function_is_called(client, choice, seed):
    answer = ask(client, tool_choice=choice, seed=seed, parallel_tool_calls=False).choices[0]
    assert answer.finish_reason == "tool_calls"
    assert answer.message.content is None
    [call] = answer.message.tool_calls
    assert call.id.startswith("call_") and call.type == "function"
    check_weather(call)


@pytest.mark.parametrize("seed", range(4))
def test_required_is_one_call_or_more(client, seed):
    answer = ask(client, tool_choice="required", seed=seed, parallel_tool_calls=False).choices[0]
    assert answer.finish_reason == "tool_calls"
    [call] = answer.message.tool_calls
    assert call.function.name in ("get_weather", "stop")


def test_the_stream_is_the_plain_answer(client):
    plain = ask(client, tool_choice=NAMED).choices[0].message.tool_calls[0]
    chunks = list(ask(client, tool_choice=NAMED, stream=True))
    deltas = [delta for chunk in chunks if chunk.choices for delta in chunk.choices[0].delta.tool_calls or []]
    first, rest = deltas[0], deltas[1:]
    assert (first.index, first.id, first.type, first.function.name) == (0, plain.id, "function", "get_weather")
    assert first.function.arguments == ""
    assert rest and all(delta.id is None and delta.function.name is None for delta in rest)
    assert "".join(delta.function.arguments for delta in rest) == plain.function.arguments
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"


def test_the_streaming_helper_puts_calls_together(client):
    with client.chat.completions.stream(
        model=MODEL, messages=ASK, tools=[WEATHER], tool_choice=NAMED, max_tokens=200, seed=5
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    check_weather(message.tool_calls[0])


def test_a_round_trip(client):
    message = ask(client, tool_choice=NAMED).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    answer = ask(client, messages=[*ASK, message.model_dump(exclude_none=True), result], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None
    shorter = ask(client, tool_choice="none").usage.prompt_tokens
    assert answer.usage.prompt_tokens > shorter, "call and result are in the prompt"


def test_a_cut_call_says_so(client):
    answer = ask(client, tool_choice=NAMED, max_tokens=3).choices[0]
    assert answer.finish_reason == "length"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [STOP, STOP]}, "tools[1].function.name"),
    ],
)
def test_what_cannot_be_called_is_refused_by_name(client, changes, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, **changes)
    assert refusal.value.param == param


def test_a_strict_keyword_that_cannot_be_enforced_is_refused_with_its_path(client):
    parameters = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": parameters}}
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, tools=[tool])
    assert "uniqueItems" in str(refusal.value) and "#/properties/a" in str(refusal.value)
    tool["function"]["strict"] = False
    ask(client, tools=[tool], max_tokens=4)


PLAIN_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_the_built_in_model_calls_the_function_and_tells_its_result(client):
    """The example of docs/tools.md: nothing forces the call, and any text would do for the city."""
    told = {"tools": [PLAIN_WEATHER], "temperature": 0}
    answer = ask(client, **told).choices[0]
    assert answer.finish_reason == "tool_calls"
    [call] = answer.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"}
    answer = ask(client, messages=[*ASK, answer.message.model_dump(exclude_none=True), result], **told).choices[0]
    assert answer.finish_reason == "stop"
    assert "18 degrees" in answer.message.content and "sunny" in answer.message.content


def test_the_built_in_model_calls_nothing_where_nothing_fits(client):
    answer = ask(client, messages=[{"role": "user", "content": "Tell me a joke."}], tools=[PLAIN_WEATHER], temperature=0)
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.tool_calls is None
