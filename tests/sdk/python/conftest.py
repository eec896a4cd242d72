"""A running Tokenmill for the tests: the binary named by TOKENMILL_BIN, on a free port, with data of its own."""

import contextlib
import os
import re
import subprocess
import time
import urllib.request

import openai
import pytest

from contract import Contract, watch

MODEL = "tokenmill/demo"
CONTRACT = Contract()
watch(CONTRACT)


class Server:
    """A started binary and what it printed."""

    def __init__(self, process, base_url, key, data_dir):
        self.process = process
        self.base_url = base_url
        self.key = key
        self.data_dir = data_dir
        self.is_ending = False

    def end(self):
        """Tells it once that it is time to end: a second time would cut off what runs."""
        if not self.is_ending:
            self.is_ending = True
            self.process.terminate()

    def client(self, **changes):
        """The SDK's client as a user makes it; retries off, so that a refusal is seen and not retried."""
        options = {"base_url": self.base_url, "api_key": self.key, "max_retries": 0, "timeout": 60}
        return openai.OpenAI(**{**options, **changes})

    def metric(self, name):
        """The sum of a metric over its labels."""
        page = self.base_url.removesuffix("/v1") + "/metrics"
        with urllib.request.urlopen(page, timeout=10) as response:
            text = response.read().decode()
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"/metrics has no {name}"
        return sum(float(value) for value in values)

    def wait_for_metric(self, name, expected):
        """Asks until the metric has this value. The server counts just after a last byte or step, not before it."""
        deadline = time.monotonic() + 10
        while (value := self.metric(name)) != expected:
            assert time.monotonic() < deadline, f"{name} stays at {value}"


@contextlib.contextmanager
def started(tmp_path_factory, *options, **how):
    """A server with these options besides; it ends well."""
    binary = os.environ.get("TOKENMILL_BIN")
    assert binary, "TOKENMILL_BIN must name the binary, as `cargo xtask test python` does"
    data_dir = str(tmp_path_factory.mktemp("data"))
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log-level", "warn", *options]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("TOKENMILL_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings, **how)
    server = Server(process, None, None, data_dir)
    try:
        found = {}
        for line in process.stdout:
            for name in ("Base URL", "API key"):
                if line.strip().startswith(name):
                    found[name] = line.strip().removeprefix(name).strip()
            if len(found) == 2:
                break
        assert len(found) == 2, f"the server ended with {process.wait()}"
        server.base_url, server.key = found["Base URL"], found["API key"]
        CONTRACT.learn(server.base_url)
        yield server
    finally:
        server.end()
        assert process.wait(timeout=60) == 0


@pytest.fixture(autouse=True)
def every_answer_is_as_described():
    """Whatever a test asks for, and through whichever client."""
    yield
    faults, CONTRACT.faults = CONTRACT.faults, []
    assert faults == []


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with started(tmp_path_factory) as server:
        yield server


@pytest.fixture
def client(server):
    return server.client()
