"""Every body that a client here receives, held against two descriptions: the server's own `/openapi.json`, and the types
that OpenAI and Anthropic generate from their published documents into their packages, closed but for the fields
that are ours."""

import functools
import json
import re
import urllib.request
from typing import Literal

import anthropic.types
import anthropic.types.shared
import httpx
import httpx2
import jsonschema
import pydantic
from openai import types
from openai.types import chat, responses, shared

# Of the packages' types, the fields that are ours. OpenAI's own server says `store`, too, which its document has for requests
# only, and its document had a finished call's `name` until it had not.
OURS = {
    "ChatCompletionMessage": {"reasoning"},
    "ChoiceDelta": {"reasoning"},
    "Model": {
        "root", "title", "description", "type", "context_window", "max_prompt_tokens", "parameters", "quantization",
        "capabilities", "reasoning", "lora", "price", "lifecycle",
    },
    "Response": {"store"},
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
}  # fmt: skip
# Of errors of either door: Anthropic's carry OpenAI's names of the cause as well.
OURS_IN_ERRORS = {"param", "code", "replacement"}


class ModelList(pydantic.BaseModel, extra="allow"):
    """What the packages read as a page, without a type of its own."""

    object: Literal["list"]
    data: list[types.Model]


class ChunkChoice(types.CompletionChoice):
    """OpenAI's document has one type for whole and streamed completions, in which every piece had finished."""

    finish_reason: Literal["stop", "length", "content_filter"] | None


class CompletionChunk(types.Completion):
    choices: list[ChunkChoice]


class OpenAIError(pydantic.BaseModel, extra="allow"):
    error: shared.ErrorObject


class Ping(pydantic.BaseModel, extra="allow"):
    """Anthropic's keep-alive, which its package passes over."""

    type: Literal["ping"]


# By path: the type of a whole answer, and that of a stream's events.
PUBLISHED = {
    "/v1/chat/completions": (chat.ChatCompletion, chat.ChatCompletionChunk),
    "/v1/completions": (types.Completion, CompletionChunk),
    "/v1/responses": (responses.Response, responses.ResponseStreamEvent),
    "/v1/messages": (anthropic.types.Message, anthropic.types.RawMessageStreamEvent | Ping),
    "/v1/messages/count_tokens": (anthropic.types.MessageTokensCount, None),
    "/v1/models": (ModelList, None),
    "/v1/models/{id}": (types.Model, None),
}


def published(path, status, is_event, body):
    """The type that the packages have for this body, or none."""
    is_anthropic = path.startswith("/v1/messages")
    if status >= 400 or is_event and "error" in body and not is_anthropic:
        return anthropic.types.shared.ErrorResponse if is_anthropic else OpenAIError
    if is_event and is_anthropic and body.get("type") == "error":
        return anthropic.types.shared.ErrorResponse
    whole, event = PUBLISHED.get(path, (None, None))
    return event if is_event else whole


@functools.cache
def reader(kind):
    return pydantic.TypeAdapter(kind)


def undeclared(value, place):
    """Faults of fields that neither the type nor `OURS` names."""
    if isinstance(value, pydantic.BaseModel):
        kind = type(value).__name__
        ours = OURS_IN_ERRORS if "Error" in kind else OURS.get(kind, set())
        for name in (value.model_extra or {}).keys() - ours:
            yield f"{place}: {kind} has no '{name}'"
        for _, part in value:
            yield from undeclared(part, place)
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from undeclared(part, place)


class Contract:
    """The descriptions, and what was found against them."""

    def __init__(self):
        self.document = None
        self.n_checked = 0
        self.faults = []

    def learn(self, base_url):
        """Reads what a server says of itself, once: all servers here are of one binary."""
        if self.document is None:
            with urllib.request.urlopen(base_url.removesuffix("/v1") + "/openapi.json", timeout=10) as response:
                self.document = json.load(response)

    @functools.cached_property
    def templates(self):
        def pattern(path):
            # The last part of one path may hold slashes.
            return re.compile(re.sub(r"\\\{id\\\}$", ".+", re.sub(r"\\\{(?!id\\\}$)\w+\\\}", "[^/]+", re.escape(path))))

        # Those without a part to fill in come first.
        return [(pattern(path), path) for path in sorted(self.document["paths"], key=lambda path: path.count("{"))]

    @functools.cache
    def schema(self, method, path, status, media_type):
        """The validator of a body; `None` for one that is not JSON, and a fault where nothing is described."""
        operation = self.document["paths"][path][method.lower()]
        content = operation["responses"][str(status)].get("content", {})
        media = {name.split(";")[0]: media for name, media in content.items()}[media_type]
        schema = media.get("x-event-schema", media["schema"])
        if schema == {"type": "string"}:
            return None
        whole = {**schema, "components": self.document["components"]}
        return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())

    def check(self, method, url_path, status, content_type, body, is_whole=True):
        """Notes what is wrong with an answer. Of a stream that was left, the events that came whole are read."""
        media_type = content_type.split(";")[0]
        place = f"{method} {url_path} {status} {media_type}"
        path = next((path for pattern, path in self.templates if pattern.fullmatch(url_path)), None)
        if path is None:
            if status < 400:
                self.faults.append(f"{place} is not described")
            return
        if media_type == "text/event-stream":
            events = re.findall(r"^data: (.*)$", body.decode().rpartition("\n\n")[0], re.MULTILINE)
            for event in events:
                if event != "[DONE]":
                    self.check_json(place, (method, path, status, media_type), json.loads(event))
        elif media_type == "application/json" and is_whole:
            self.check_json(place, (method, path, status, media_type), json.loads(body))

    def check_json(self, place, key, body):
        method, path, status, media_type = key
        self.n_checked += 1
        is_event = media_type == "text/event-stream"
        is_fault = is_event and isinstance(body, dict) and "error" in body
        try:
            if not is_fault and (schema := self.schema(*key)):
                schema.validate(body)
            if kind := published(path, status, is_event, body):
                read = reader(kind).validate_json(json.dumps(body), strict=True)
                self.faults += undeclared(read, f"{place}: {body}")
        except KeyError as missing:
            self.faults.append(f"{place} is not described: no {missing}")
        except (jsonschema.ValidationError, pydantic.ValidationError) as fault:
            self.faults.append(f"{place}: {fault} in {body}")


class Watched:
    """A response's bytes on their way, of which a copy is read when they end or are left."""

    def __init__(self, stream, done):
        self.stream = stream
        self.done = done
        self.body = b""
        self.is_open = True

    def __iter__(self):
        for piece in self.stream:
            self.body += piece
            yield piece
        self.end(is_whole=True)

    async def __aiter__(self):
        async for piece in self.stream:
            self.body += piece
            yield piece
        self.end(is_whole=True)

    def close(self):
        self.end(is_whole=False)
        self.stream.close()

    async def aclose(self):
        self.end(is_whole=False)
        await self.stream.aclose()

    def end(self, is_whole):
        if self.is_open:
            self.is_open = False
            self.done(self.body, is_whole)


def watch(contract):
    """Puts the check below every client that goes by httpx, whichever package brings it: it sees what comes from the
    network, and the client sees no more than it would."""

    def watched(request, response, base):
        def done(body, is_whole):
            content_type = response.headers.get("content-type", "")
            contract.check(request.method, request.url.path, response.status_code, content_type, body, is_whole)

        response.stream = type("WatchedStream", (Watched, base), {})(response.stream, done)
        return response

    for library in (httpx, httpx2):
        sync, later = library.HTTPTransport.handle_request, library.AsyncHTTPTransport.handle_async_request

        def handle_request(self, request, sync=sync, base=library.SyncByteStream):
            return watched(request, sync(self, request), base)

        async def handle_async_request(self, request, later=later, base=library.AsyncByteStream):
            return watched(request, await later(self, request), base)

        library.HTTPTransport.handle_request = handle_request
        library.AsyncHTTPTransport.handle_async_request = handle_async_request
