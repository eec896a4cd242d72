"""LangChain and LiteLLM as clients: functions there and back, structured output, streams. Real packages, real binary."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # It would ask the network for prices.

import litellm
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from conftest import MODEL

QUESTION = "What is the weather in Paris?"


class Forecast(BaseModel):
    """The weather of a city."""

    is_sunny: bool
    degrees: int = Field(ge=-50, le=50)


@tool
def get_weather(is_today: bool) -> str:
    """The weather in Paris."""
    return "18 degrees" if is_today else "unknown"


@pytest.fixture
def model(server):
    return ChatOpenAI(
        model=MODEL, base_url=server.base_url, api_key=server.key, max_retries=0, timeout=60, seed=3, max_tokens=200
    )


def test_langchain_answers_and_streams_the_same(model):
    answer = model.invoke(QUESTION)
    chunks = list(model.stream(QUESTION))
    assert answer.content and answer.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.content for chunk in chunks) == answer.content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_gives_a_pydantic_model(model, method):
    structured = model.with_structured_output(Forecast, method=method, strict=True)
    forecast = structured.invoke(QUESTION)
    assert isinstance(forecast, Forecast) and -50 <= forecast.degrees <= 50


def test_langchain_calls_a_function_and_tells_what_came_of_it(model):
    caller = model.bind_tools([get_weather], tool_choice="get_weather", strict=True, parallel_tool_calls=False)
    call = caller.invoke(QUESTION)
    assert [made["name"] for made in call.tool_calls] == ["get_weather"]
    streamed = None
    for chunk in caller.stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == call.tool_calls[0]["args"]
    result = get_weather.invoke(call.tool_calls[0])
    assert isinstance(result, ToolMessage)
    answer = model.invoke([HumanMessage(QUESTION), call, result])
    assert answer.content


def ask(server, **changes):
    options = {
        "model": f"openai/{MODEL}",
        "api_base": server.base_url,
        "api_key": server.key,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 200,
        "seed": 3,
        "num_retries": 0,
        "timeout": 60,
    }
    return litellm.completion(**{**options, **changes})


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def test_litellm_answers_and_streams_the_same(server):
    answer = ask(server)
    chunks = list(ask(server, stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert answer.choices[0].message.content == "".join(texts)
    rebuilt = litellm.stream_chunk_builder(chunks)
    assert rebuilt.usage.completion_tokens == answer.usage.completion_tokens


def test_litellm_gives_a_pydantic_model(server):
    answer = ask(server, response_format=Forecast).choices[0]
    assert answer.finish_reason == "stop"
    assert -50 <= Forecast.model_validate_json(answer.message.content).degrees <= 50


def test_litellm_calls_a_function_and_tells_what_came_of_it(server):
    message = ask(server, tools=[TOOL], tool_choice=NAMED, parallel_tool_calls=False).choices[0].message
    [call] = message.tool_calls
    assert call.function.name == "get_weather" and "city" in call.function.arguments
    history = [
        {"role": "user", "content": QUESTION},
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    assert ask(server, messages=history, tools=[TOOL], tool_choice="none").choices[0].message.content


def test_litellm_knows_a_refusal(server):
    with pytest.raises(litellm.BadRequestError) as refusal:
        ask(server, extra_body={"temprature": 1})
    assert "temprature" in str(refusal.value)
