"""Answers of a form that was asked for: what comes is valid, and what cannot be enforced is refused by name."""

import json
import re
import time
from pathlib import Path

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from conftest import MODEL

SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())
ASK = [{"role": "user", "content": "Tell me something."}]


def ask(client, **changes):
    options = {"model": MODEL, "messages": ASK, "max_tokens": 300, "seed": 3}
    return client.chat.completions.create(**{**options, **changes})


def of_schema(schema):
    return {"type": "json_schema", "json_schema": {"name": "thing", "strict": True, "schema": schema}}


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_what_comes_is_valid(client, schema):
    for seed in (1, 2):
        choice = ask(client, response_format=of_schema(schema), seed=seed).choices[0]
        if choice.finish_reason == "length":
            continue
        assert choice.finish_reason == "stop"
        checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        checker.validate(json.loads(choice.message.content))


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        ({"not": {}}, "not", "#"),
        ({"type": "object", "properties": {"a": {"if": {}, "then": {}}}}, "if", "#/properties/a"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems", "#"),
        ({"type": "array", "contains": {}}, "contains", "#"),
        ({"propertyNames": {}}, "propertyNames", "#"),
        ({"dependentRequired": {}}, "dependentRequired", "#"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties", "#"),
        ({"items": {"type": "string", "format": "color"}}, "format", "#/items"),
        ({"$ref": "https://example.com/schema"}, "$ref", "#"),
        ({"anyOf": [{}, {"$dynamicRef": "#a"}]}, "$dynamicRef", "#/anyOf/1"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_keyword_and_path(client, schema, keyword, path):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, response_format=of_schema(schema))
    assert refusal.value.param == "response_format.json_schema.schema"
    assert f"'{keyword}' at {path}," in str(refusal.value)


def test_a_pydantic_model_is_parsed(client):
    class Event(BaseModel):
        open: bool
        day: int | None

    completion = client.chat.completions.parse(
        model=MODEL, messages=ASK, response_format=Event, max_tokens=300, seed=4, temperature=0
    )
    if completion.choices[0].finish_reason == "stop":
        assert isinstance(completion.choices[0].message.parsed, Event)


def test_the_built_in_model_extracts_a_calendar_event(client):
    class CalendarEvent(BaseModel):
        name: str
        date: str
        participants: list[str]

    completion = client.chat.completions.parse(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Extract the event information."},
            {"role": "user", "content": "Alice and Bob are going to a science fair on Friday."},
        ],
        response_format=CalendarEvent,
        temperature=0,
    )
    event = completion.choices[0].message.parsed
    assert event.name.lower() == "science fair"
    assert (event.date, event.participants) == ("Friday", ["Alice", "Bob"])


def test_streamed_equals_plain(client):
    form = of_schema(SCHEMAS[31])
    plain = ask(client, response_format=form).choices[0].message.content
    chunks = list(ask(client, response_format=form, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == plain


@pytest.mark.parametrize(
    ("extra", "pattern"),
    [
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes|no"),
        ({"guided_choice": ["red", "green"]}, "red|green"),
        ({"guided_regex": "[a-f]{3}-[0-9]{2}"}, "[a-f]{3}-[0-9]{2}"),
        ({"structured_outputs": {"regex": "^(ab){1,3}$"}}, "(ab){1,3}"),
        ({"guided_grammar": 'start: "a" NUMBER "!"\nNUMBER: /[0-9]{1,3}/'}, "a[0-9]{1,3}!"),
        ({"guided_json": {"type": "boolean"}}, "true|false"),
    ],
)
def test_other_forms(client, extra, pattern):
    text = ask(client, extra_body=extra).choices[0].message.content
    assert re.fullmatch(pattern, text), text


def test_a_form_and_several_choices_and_a_bias(client):
    completion = ask(client, n=3, extra_body={"guided_choice": ["yes", "no"]}, temperature=1.5, logit_bias={"5": 3})
    assert {choice.message.content for choice in completion.choices} <= {"yes", "no"}


def test_hostile_grammars_are_refused_soon(client):
    for extra in (
        {"guided_regex": "(a{1000}){1000}"},
        {"guided_regex": "(" * 5000},
        {"guided_grammar": "start: start"},
    ):
        begin = time.monotonic()
        try:
            ask(client, extra_body=extra, max_tokens=2)
        except openai.BadRequestError:
            pass
        assert time.monotonic() - begin < 10
