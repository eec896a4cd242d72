"""The check of every answer can fail: a server that answers otherwise than described is found out, whatever the client makes
of it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from openai import OpenAI

from conftest import CONTRACT, MODEL

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
MESSAGE = {"role": "assistant", "content": "Hi!", "refusal": None, "reasoning": None}
CHOICE = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "system_fingerprint": "f",
    "choices": [CHOICE], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
DELTA = {"index": 0, "delta": {"content": "Hi!"}, "logprobs": None, "finish_reason": None}
CHUNK = {**WHOLE, "object": "chat.completion.chunk", "choices": [DELTA], "usage": None}


@pytest.fixture
def told(server):
    """Gives how a client asks a server that answers with just this, and what was found."""
    answer = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(answer["status"])
            self.send_header("content-type", answer["type"])
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, *_):
            pass

    liar = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=liar.serve_forever)
    thread.start()
    client = OpenAI(base_url=f"http://127.0.0.1:{liar.server_port}/v1", api_key="x", max_retries=0)

    def ask(body, status=200, is_stream=False):
        text = f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n" if is_stream else json.dumps(body)
        answer.update(status=status, type="text/event-stream" if is_stream else "application/json", body=text)
        made = client.chat.completions.create(**ASK, stream=is_stream)
        if is_stream:
            list(made)
        faults, CONTRACT.faults = CONTRACT.faults, []
        return faults

    yield ask
    liar.shutdown()
    thread.join()
    liar.server_close()


def test_what_is_as_described_is_no_fault(told):
    n_before = CONTRACT.n_checked
    assert told(WHOLE) == []
    assert told(CHUNK, is_stream=True) == []
    assert CONTRACT.n_checked == n_before + 2


@pytest.mark.parametrize(
    "changes, found",
    [
        ({"total": 1}, "ChatCompletion has no 'total'"),
        ({"created": "1"}, "is not of type 'integer'"),
        ({"choices": [{**CHOICE, "finish_reason": "done"}]}, "'done'"),
        ({"choices": [{**CHOICE, "message": {**MESSAGE, "thoughts": ""}}]}, "ChatCompletionMessage has no 'thoughts'"),
    ],
)
def test_a_whole_answer_that_is_otherwise_is_a_fault(told, changes, found):
    [fault] = told({**WHOLE, **changes})
    assert found in fault


def test_a_chunk_that_is_otherwise_is_a_fault(told):
    [fault] = told({**CHUNK, "choices": [{**DELTA, "text": "Hi!"}]}, is_stream=True)
    assert "Choice has no 'text'" in fault
    [fault] = told({**CHUNK, "object": "chunk"}, is_stream=True)
    assert "chat.completion.chunk" in fault


def test_a_status_that_is_not_described_is_a_fault(told):
    [fault] = told(WHOLE, status=201)
    assert "is not described" in fault
