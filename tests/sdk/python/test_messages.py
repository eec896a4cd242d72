"""Anthropic's official Python package against the real binary."""

import json

import anthropic
import pytest

from conftest import MODEL

ASK = [{"role": "user", "content": "What is the weather in Oslo?"}]
# The package has no argument for it any more; older ones and other clients do.
GREEDY = {"temperature": 0}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def claude(server):
    """The client as a user makes it, with the key in Anthropic's own header; retries off, so that a refusal is seen."""
    return anthropic.Anthropic(
        base_url=server.base_url.removesuffix("/v1"), api_key=server.key, max_retries=0, timeout=60
    )


def ask(claude, **changes):
    options = {"model": MODEL, "messages": ASK, "max_tokens": 64, "extra_body": GREEDY}
    return claude.messages.create(**{**options, **changes})


def test_a_plain_message(claude):
    message = ask(claude, system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.id.startswith("msg_") and message._request_id.startswith("req_")
    assert message.content[0].type == "text" and message.content[0].text.strip()
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens > 0 and 0 < message.usage.output_tokens <= 64


def test_a_bearer_token_will_do(server):
    bearer = anthropic.Anthropic(
        base_url=server.base_url.removesuffix("/v1"), api_key=None, auth_token=server.key, max_retries=0
    )
    assert ask(bearer, max_tokens=1).usage.output_tokens == 1


def test_the_streaming_helper_gives_the_plain_message(claude):
    plain = ask(claude)
    with claude.messages.stream(model=MODEL, messages=ASK, max_tokens=64, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == plain.content[0].text == final.content[0].text
    assert final.stop_reason == plain.stop_reason
    assert final.usage.output_tokens == plain.usage.output_tokens

    def whole(usage):
        return usage.input_tokens + (usage.cache_read_input_tokens or 0)

    assert whole(final.usage) == whole(plain.usage)


def test_a_stop_sequence_is_named(claude):
    text = ask(claude).content[0].text
    stop = text[len(text) // 2 :][:3]
    message = ask(claude, stop_sequences=["never said", stop])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
    assert message.content[0].text == text[: text.index(stop)]


@pytest.mark.parametrize(
    "choice", [{"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "get_weather"}]
)
def test_a_tool_round_trip(claude, choice):
    options = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 300, "thinking": {"type": "disabled"}}
    message = ask(claude, **options)
    assert message.stop_reason == "tool_use"
    call = next(block for block in message.content if block.type == "tool_use")
    assert call.name == "get_weather" and set(call.input) == {"city"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees", "is_error": False}
    turns = [*ASK, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    answer = ask(claude, messages=turns, tools=[WEATHER])
    assert answer.stop_reason in ("end_turn", "max_tokens", "tool_use")
    before = claude.messages.count_tokens(model=MODEL, messages=ASK, tools=[WEATHER]).input_tokens
    after = claude.messages.count_tokens(model=MODEL, messages=turns, tools=[WEATHER]).input_tokens
    assert after > before, "call and result are in the prompt"


def test_a_streamed_tool_call(claude):
    with claude.messages.stream(
        model=MODEL,
        messages=ASK,
        max_tokens=300,
        extra_body=GREEDY,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
        thinking={"type": "disabled"},
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert {"content_block_start", "input_json", "content_block_stop", "message_delta", "message_stop"} <= kinds
    call = final.content[-1]
    assert call.type == "tool_use" and isinstance(call.input["city"], str)


def test_thinking_may_be_asked_of_any_model(claude):
    message = ask(claude, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000)
    kinds = [block.type for block in message.content]
    assert "text" in kinds and set(kinds) <= {"thinking", "text"}
    turns = [*ASK, {"role": "assistant", "content": message.content}, {"role": "user", "content": "Thanks."}]
    assert ask(claude, messages=turns, max_tokens=1).usage.output_tokens == 1, "thinking blocks are taken back"


def test_a_schema_is_kept(claude):
    schema = {"type": "object", "properties": {"open": {"type": "boolean"}}, "required": ["open"], "additionalProperties": False}
    config = {"format": {"type": "json_schema", "schema": schema}}
    message = ask(claude, output_config=config, max_tokens=300, thinking={"type": "disabled"})
    assert isinstance(json.loads(message.content[-1].text)["open"], bool)


def test_a_count_is_what_the_message_has(claude):
    options = {"model": MODEL, "messages": ASK, "system": "Be brief.", "tools": [WEATHER]}
    counted = claude.messages.count_tokens(**options).input_tokens
    usage = claude.messages.create(**options, max_tokens=1).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_more_tokens_than_the_context_may_be_asked_for(claude):
    assert ask(claude, max_tokens=64_000, stop_sequences=["e"]).stop_reason in ("stop_sequence", "end_turn")


def test_betas_are_taken(claude):
    message = claude.beta.messages.create(
        model=MODEL,
        messages=ASK,
        max_tokens=4,
        betas=["context-management-2025-06-27"],
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    )
    assert message.usage.output_tokens <= 4


def test_refusals_have_anthropics_types(claude, server):
    with pytest.raises(anthropic.AuthenticationError) as refusal:
        ask(anthropic.Anthropic(base_url=server.base_url.removesuffix("/v1"), api_key="tm-none", max_retries=0))
    assert refusal.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError):
        ask(claude, model="nobody/nothing")
    for changes, name in [
        ({"extra_body": {"temprature": 1}}, "temprature"),
        ({"extra_body": {"container": "c"}}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0].type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ]:
        with pytest.raises(anthropic.BadRequestError) as refusal:
            ask(claude, **changes)
        assert refusal.value.body["error"]["param"] == name and name in str(refusal.value)
