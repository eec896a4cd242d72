"""What the built-in model is trained on is what its chat template shows it, and no held-back prompt is among it."""

import json
import random
import sys
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

MODELS = Path(__file__).resolve().parents[3] / "models"
sys.path.insert(0, str(MODELS))

from corpus import mix  # noqa: E402
from corpus.thinking import thought  # noqa: E402
from corpus.tool_list import Tool, call, listing, response  # noqa: E402

LIST = {"type": "array", "items": {"type": "string"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a table",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "guests": LIST,
            },
            "required": ["city"],
        },
    },
}


def rendered(messages, **variables):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string((MODELS / "chat_template.jinja").read_text().rstrip("\n"))
    return template.render(messages=messages, **variables)


def block(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def test_functions_calls_and_results_look_as_in_the_template():
    parameters = [("city", "string", False, "Where"), ("unit", "celsius|fahrenheit", True, ""), ("guests", json.dumps(LIST), True, "")]
    calls = [{"city": "Malmö"}, {"city": "Rome", "unit": "celsius"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two tables"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Two calls.",
            "tool_calls": [{"function": {"name": "book", "arguments": one}} for one in calls],
        },
        {"role": "tool", "content": "done"},
        {"role": "tool", "content": "full"},
    ]
    expected = block("system", listing([Tool("book", "Book a table", parameters)], "Be brief."))
    expected += block("user", "Two tables")
    expected += block("assistant", thought("Two calls.", "\n".join(call("book", one) for one in calls)))
    expected += block("user", response("done", "full"))
    assert rendered(messages, tools=[TOOL]) == expected


def test_thinking_is_opened_only_where_it_is_turned_on():
    messages = [{"role": "user", "content": "Hello"}]
    asked = block("user", "Hello") + "<|im_start|>assistant\n"
    for variables, opening in (({}, ""), ({"enable_thinking": False}, ""), ({"enable_thinking": True}, "<think>\n")):
        assert rendered(messages, add_generation_prompt=True, **variables) == asked + opening
    earlier = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!", "reasoning_content": "A greeting."}, *messages]
    assert "A greeting." not in rendered(earlier)


def test_dialogues_alternate_and_hold_no_held_back_prompt():
    held = mix.held_back()
    assert len(held) >= 150
    made = list(mix.dialogues("test", 400, held))
    assert not any(mix.is_held_back(turns, held) for turns in made)
    for turns in made:
        roles = [role for role, _ in turns if role != "system"]
        assert roles[0] == "user" and roles[-1] == "assistant", turns
    rng = random.Random(0)
    kinds = [kind for kind, _ in mix.KINDS if kind]
    for turns in (kind.dialogue(rng) for kind in kinds for _ in range(100)):
        for _, text in turns:
            for part in text.split("<tool_call>\n")[1:]:
                assert set(json.loads(part.split("\n</tool_call>")[0])) == {"name", "arguments"}
