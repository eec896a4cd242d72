"""Every status and code of the contract's error table, as a program meets them through the official package: the message word
for word, and the class of exception that a program catches. Against the real binary and its commands; where a fault is
needed, the fault is real: a table that is gone, a disk that takes no more."""

import json
import os
import resource
import sqlite3
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import MODEL, Server, started

FAILED_LOGIN = "Authentication failed"
OUT_OF_MONEY = "You exceeded your current quota, please check your plan and billing details"
WRONG_COUNTRY = "Country, region, or territory not supported"
SWITCHED_OFF = "The inference gateway is not enabled for your organization"
NOT_FOUND = "The requested resource was not found"
TOO_MANY = "Concurrency limit reached for requests"
OUR_FAULT = "The server had an error while processing your request"
OVERLOADED = "The engine is currently overloaded, please try again later"

LIMITS = ["--max-body-bytes", "64 KiB", "--max-running", "1", "--max-waiting", "0"]
COUNTRY = ["--country-header", "cf-ipcountry", "--deny-country", "XX"]


class Site(Server):
    """A server with teams, prices and limits, and the commands that an operator has for it."""

    def command(self, *words):
        """Runs a command beside the server; gives what it prints."""
        run = [os.environ["TOKENMILL_BIN"], *words, "--data-dir", self.data_dir]
        return subprocess.run(run, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def key_for(self, *words):
        return self.command("keys", "create", "--name", "test", *words)

    def manage(self, method, path, body):
        """Calls the management API."""
        request = urllib.request.Request(
            self.base_url.removesuffix("/v1") + path,
            data=json.dumps(body).encode(),
            method=method,
            headers={"content-type": "application/json", "authorization": f"Bearer {self.admin_key}"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()

    def log_is_at_its_limit(self, is_full):
        """Lets the process write no byte beyond those that its files have, as a full disk would."""
        limit = 1 if is_full else resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    # A process that writes beyond its limit gets a signal and, where that is ignored as it is in Python, an error.
    with started(tmp_path_factory, *LIMITS, *COUNTRY, restore_signals=False) as server:
        site = Site(server.process, server.base_url, server.key, server.data_dir)
        site.admin_key = site.key_for("--scope", "admin")
        for team in ("poor", "off", "capped"):
            site.command("team", "create", team, "--tier", "unlimited")
            site.command("member", "add", team, "admin")
        site.command("team", "set", "off", "--enabled", "false")
        for project in ("narrow", "rare", "few"):
            site.command("project", "create", f"default/{project}")
        site.command("project", "limit", "default/narrow", "--concurrency", "1")
        site.command("project", "limit", "default/rare", "--requests-per-minute", "1")
        site.command("project", "limit", "default/few", "--tokens-per-minute", "1")
        site.command("price", "set", MODEL, "--input", "1", "--output", "2")
        for team in ("default", "capped"):
            site.command("credit", "add", team, "50", "--reference", "test")
        site.command("cap", "set", "team", "capped", "month", "0.000001")
        retired = {"deprecated_from": "2020-01-01", "retired_from": "2020-02-01", "replacement": MODEL}
        site.manage("PUT", "/api/v1/models", {"id": "tokenmill/old", **retired})
        yield site


def ask(client, **changes):
    options = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me a joke."}], "max_tokens": 8}
    return client.chat.completions.create(**{**options, **changes})


def refused(kind, status, code, message, client, **changes):
    """Asks, and checks class, status, code and message of the refusal."""
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **changes)
    error = caught.value
    assert type(error) is kind, error
    assert (error.status_code, error.code) == (status, code)
    assert set(error.body) >= {"message", "type", "param", "code"}
    if message is not None:
        assert error.body["message"] == message
    assert error.request_id and error.response.headers["content-type"] == "application/json"
    return error


class Running:
    """A stream that goes on until it is left, whose first words have come."""

    def __init__(self, client):
        self.stream = ask(client, stream=True, max_tokens=1_500, extra_body={"ignore_eos": True})
        next(iter(self.stream))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()


BAD_REQUESTS = [
    ({"temperature": 3}, "invalid_value", "temperature"),
    ({"extra_body": {"temprature": 1}}, "unknown_parameter", "temprature"),
    ({"messages": [{"role": "user", "content": "word " * 9_000}]}, "context_length_exceeded", "messages"),
]


@pytest.mark.parametrize("changes, code, param", BAD_REQUESTS)
def test_400_names_the_parameter(site, changes, code, param):
    error = refused(openai.BadRequestError, 400, code, None, site.client(), **changes)
    assert error.param == param
    assert param in error.body["message"]


def test_400_for_a_body_that_is_no_json(site):
    with pytest.raises(openai.BadRequestError) as caught:
        site.client().post("/chat/completions", cast_to=object, content=b"{", options={
            "headers": {"content-type": "application/json"}})
    assert caught.value.code == "invalid_json"


def test_400_for_a_project_that_is_none(site):
    error = refused(openai.BadRequestError, 400, "invalid_project", None, site.client(project="no-slash"))
    assert error.param == "OpenAI-Project"


def test_401_for_every_key_that_is_not_good(site):
    def fails(code, key):
        refused(openai.AuthenticationError, 401, code, FAILED_LOGIN, site.client(api_key=key))

    fails("invalid_api_key", "sk-unknown")
    fails("invalid_api_key", site.key[:-1] + ("0" if site.key[-1] != "0" else "1"))
    revoked = site.key_for()
    site.command("keys", "revoke", revoked)
    fails("revoked_api_key", revoked)
    expired = site.key_for("--expires-in", "1s")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            site.client(api_key=expired).models.list()
        except openai.AuthenticationError:
            break
    fails("expired_api_key", expired)
    fails("scope_not_granted", site.key_for("--scope", "models:read"))
    fails("network_not_allowed", site.key_for("--allow-network", "203.0.113.0/24"))
    stranger = site.client(default_headers={"authorization": ""})
    refused(openai.AuthenticationError, 401, "invalid_api_key", FAILED_LOGIN, stranger)
    without = {"Authorization": openai.Omit()}
    refused(openai.AuthenticationError, 401, "missing_api_key", FAILED_LOGIN, site.client(), extra_headers=without)


def test_401_for_a_project_that_is_not_yours(site):
    for project, code in [("nobody/inference", "team_not_accessible"), ("default/nothing", "project_not_found")]:
        refused(openai.AuthenticationError, 401, code, FAILED_LOGIN, site.client(project=project))


def test_402_without_credit(site):
    poor = site.client(project="poor/inference")
    error = refused(openai.APIStatusError, 402, "insufficient_quota", OUT_OF_MONEY, poor)
    assert error.type == "insufficient_quota"


def test_402_at_a_cap(site):
    refused(
        openai.APIStatusError, 402, "spending_cap_reached", OUT_OF_MONEY, site.client(project="capped/inference")
    )


def test_403_from_a_country_that_is_refused(site):
    abroad = site.client(default_headers={"cf-ipcountry": "xx"})
    refused(openai.PermissionDeniedError, 403, "unsupported_country_region_territory", WRONG_COUNTRY, abroad)


def test_403_for_a_team_that_is_switched_off(site):
    off = site.client(project="off/inference")
    refused(openai.PermissionDeniedError, 403, "inference_not_enabled", SWITCHED_OFF, off)


def test_404_for_an_unknown_model(site):
    error = refused(openai.NotFoundError, 404, "model_not_found", NOT_FOUND, site.client(), model="nobody/none")
    assert error.param == "model"


def test_404_for_a_retired_model_names_its_living_replacement(site):
    error = refused(openai.NotFoundError, 404, "model_retired", NOT_FOUND, site.client(), model="tokenmill/old")
    assert error.body["replacement"] == MODEL
    assert error.response.headers["link"] == f'</v1/models/{MODEL}>; rel="successor-version"'


def test_413_names_the_limit(site):
    long = [{"role": "user", "content": "x" * (65 << 10)}]
    error = refused(openai.APIStatusError, 413, "body_too_large", None, site.client(), messages=long)
    assert "65536 bytes" in error.body["message"]


def test_429_while_too_much_is_in_flight(site):
    narrow = site.client(project="default/narrow")

    def crowd(_):
        try:
            return ask(narrow, max_tokens=1_500, extra_body={"ignore_eos": True}).choices
        except openai.APIStatusError as error:
            return error

    # One runs and one waits; the others are too many, however fast the engine is.
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(crowd, range(8)))
    assert any(isinstance(answer, list) for answer in answers)
    # This engine has hardly a place, so that whoever comes right behind another may find it full: not what is asked here.
    errors = [answer for answer in answers if isinstance(answer, openai.RateLimitError)]
    assert errors
    for error in errors:
        assert error.status_code == 429
        assert (error.code, error.body["message"]) == ("concurrency_limit_reached", TOO_MANY)
    site.wait_for_metric("tokenmill_engine_running", 0)
    assert ask(narrow).choices


@pytest.mark.parametrize(
    "project, code", [("rare", "request_rate_limit_reached"), ("few", "token_rate_limit_reached")]
)
def test_429_over_a_rate_says_when(site, project, code):
    often = site.client(project=f"default/{project}")
    assert ask(often).choices
    error = refused(openai.RateLimitError, 429, code, TOO_MANY, often)
    assert int(error.response.headers["retry-after"]) >= 1
    unit = "requests" if project == "rare" else "tokens"
    for name in ("limit", "remaining", "reset"):
        assert f"x-ratelimit-{name}-{unit}" in error.response.headers


def test_500_tells_nothing_of_what_broke(site):
    # Not known to the server yet, so that it has to be looked up.
    key = site.key_for()
    with sqlite3.connect(os.path.join(site.data_dir, "tokenmill.db"), timeout=10) as database:
        database.execute("ALTER TABLE caps RENAME TO caps_gone")
    try:
        error = refused(openai.InternalServerError, 500, "server_error", OUR_FAULT, site.client(api_key=key))
        assert "caps" not in error.response.text
    finally:
        with sqlite3.connect(os.path.join(site.data_dir, "tokenmill.db"), timeout=10) as database:
            database.execute("ALTER TABLE caps_gone RENAME TO caps")
    assert ask(site.client(api_key=key)).choices


def test_503_while_the_engine_is_full(site):
    with Running(site.client()):
        refused(openai.InternalServerError, 503, "engine_overloaded", OVERLOADED, site.client())
    site.wait_for_metric("tokenmill_engine_running", 0)
    assert ask(site.client()).choices


def test_503_while_nothing_can_be_accounted_for(site):
    """The disk takes no more: what runs ends, nothing new begins, and once there is room it goes on by itself."""
    running = Running(site.client())
    site.log_is_at_its_limit(True)
    try:
        # A stream's note of its tokens is what finds out.
        for _ in running.stream:
            pass
    except openai.APIError as error:
        assert error.code == "accounting_unavailable"
    try:
        refused(openai.InternalServerError, 503, "accounting_unavailable", OVERLOADED, site.client())
    finally:
        site.log_is_at_its_limit(False)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert ask(site.client()).choices
            break
        except openai.InternalServerError as error:
            assert error.code == "accounting_unavailable" and time.monotonic() < deadline
    assert json.loads(site.command("ledger", "verify", "--json"))["faults"] == []


def test_503_while_the_server_ends(tmp_path_factory):
    with started(tmp_path_factory) as server:
        answers = []
        with Running(server.client()) as running:
            ending = threading.Thread(target=lambda: answers.extend(running.stream))
            ending.start()
            server.end()
            deadline = time.monotonic() + 10
            while True:
                try:
                    ask(server.client())
                except openai.InternalServerError as error:
                    assert (error.status_code, error.code) == (503, "shutting_down")
                    assert error.body["message"] == OVERLOADED
                    break
                assert time.monotonic() < deadline
            ending.join()
        assert answers, "what ran went on to its end"
