"""The served OpenAPI document, proved by schemathesis: whatever it makes up, no 5xx, and no status, type or body that the
document does not have; what the document does not allow is refused.

Some hundred cases by default; with TOKENMILL_LONG=1 ten thousand.
"""

import os
import subprocess

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode, checks

from conftest import MODEL, started

N_CASES = 10_000 if os.environ.get("TOKENMILL_LONG") else 400
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    """A server that may be changed, with a key that may change it."""
    with started(tmp_path_factory) as server:
        command = [os.environ["TOKENMILL_BIN"], "keys", "create", "--name", "all", "--data-dir", server.data_dir]
        for scope in ("admin", "inference", "models:read", "usage:read"):
            command += ["--scope", scope]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        server.key = next(word for word in made.split() if word.startswith("tm-"))
        yield server


def bounded(case):
    """Short answers of a model that is there, so that cases reach the model and are many."""
    body = case.body
    if isinstance(body, dict) and case.path.startswith("/v1/"):
        if isinstance(body.get("model"), str) and len(body["model"]) % 4:
            body["model"] = MODEL
        names = [name for name in LIMITS if isinstance(body.get(name), int) and body[name] > 8]
        for name in names:
            body[name] = 8
        takes = case.operation.definition.raw["requestBody"]["content"]["application/json"]["schema"]["properties"]
        if not any(name in body for name in LIMITS):
            body[next((name for name in LIMITS if name in takes), "max_tokens")] = 8
    return case


def test_whatever_comes_is_as_the_document_says(own_server):
    root = own_server.base_url.removesuffix("/v1")
    document = requests.get(f"{root}/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    n_each = max(2, N_CASES // (len(operations) * len(modes)) + 1)
    session = requests.Session()
    statuses = {}
    faults = []
    for operation in operations:
        for mode in modes:
            try:
                prove(operation, mode, n_each, root, session, own_server.key, statuses)
            except hypothesis.errors.Unsatisfiable:
                continue  # Nothing wrong can be made of what takes nothing.
            except Exception as fault:  # All faults are told together: each run takes its time.
                faults.append(f"{operation.label} {mode.value}: {fault}")
    print(sum(statuses.values()), "cases:", dict(sorted(statuses.items())))
    assert not faults, "\n\n".join(faults)
    assert sum(statuses.values()) >= N_CASES * 0.6


def prove(operation, mode, n_cases, root, session, key, statuses):
    @hypothesis.seed(20261128)
    @hypothesis.settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        if mode is GenerationMode.POSITIVE:
            case = bounded(case)
        headers = {"Authorization": f"Bearer {key}"}
        response = case.call(base_url=root, session=session, headers=headers, timeout=60)
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        case.validate_response(response, checks=CHECKS)

    one()
