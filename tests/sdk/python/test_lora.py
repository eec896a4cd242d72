"""Adapters of the built-in model, made here: uploaded for real, asked with the official package."""

import json
import struct
import subprocess
import os
import random
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import MODEL

BOUNDARY = "between-the-parts-of-the-form"
PROMPT = [{"role": "user", "content": "Tell me a joke."}]


@pytest.fixture(scope="module")
def admin(server):
    """A key that may manage."""
    command = [os.environ["TOKENMILL_BIN"], "keys", "create", "--data-dir", server.data_dir]
    for scope in ("admin", "inference", "usage:read"):
        command += ["--scope", scope]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def shapes(server):
    """Of each projection of each layer, numbers out and in, by PEFT's names."""
    model = os.path.join(os.path.dirname(__file__), "../../../models/tokenmill-demo.gguf")
    command = [os.environ["TOKENMILL_BIN"], "inspect", model, "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    names = {"attn_q": "self_attn.q_proj", "attn_v": "self_attn.v_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    shapes = {}
    for tensor in found["tensors"]:
        parts = tensor["name"].split(".")
        if len(parts) == 4 and parts[0] == "blk" and parts[2] in names and parts[3] == "weight":
            shapes[f"model.layers.{parts[1]}.{names[parts[2]]}"] = tuple(tensor["shape"])
    assert shapes
    return shapes


def adapter(shapes, seed, rank=4):
    """The two files of an adapter that changes every answer."""
    dice = random.Random(seed)
    header, data = {}, b""
    for module, (n_out, n_in) in sorted(shapes.items()):
        for name, shape in (("lora_A", (rank, n_in)), ("lora_B", (n_out, rank))):
            numbers = [dice.gauss(0, 1 / shape[1] ** 0.5) for _ in range(shape[0] * shape[1])]
            begin, data = len(data), data + struct.pack(f"<{len(numbers)}f", *numbers)
            tensor = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
            header[f"base_model.model.{module}.{name}.weight"] = tensor
    header = json.dumps(header).encode()
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "bias": "none",
        "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"],
    }
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": struct.pack("<Q", len(header)) + header + data,
    }


def upload(server, key, name, files, **fields):
    body = b""
    for part, content in {**{name: value.encode() for name, value in fields.items()}, **files}.items():
        file = f'; filename="{part}"' if part in files else ""
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    url = server.base_url.removesuffix("/v1") + f"/api/v1/artifacts/default/inference/{name}"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    request = urllib.request.Request(url, body + f"--{BOUNDARY}--\r\n".encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def ask(client, model):
    answer = client.chat.completions.create(model=model, messages=PROMPT, max_tokens=24, temperature=0, seed=1)
    return answer.model, answer.choices[0].message.content


def test_two_adapters_and_the_base_answer_beside_each_other_as_alone(server, client, admin, shapes):
    for name, seed in (("dry", 1), ("warm", 2)):
        made = upload(server, admin, name, adapter(shapes, seed), base_model=MODEL, alias="good")
        assert made["version"] == "v0" and made["aliases"] == ["latest", "good"]
    models = [MODEL, "wandb-artifact:///default/inference/dry:good", "tokenmill-artifact:///default/inference/warm"]
    alone = [ask(client, model) for model in models]
    assert [model for model, _ in alone] == [
        MODEL,
        "wandb-artifact:///default/inference/dry:v0",
        "tokenmill-artifact:///default/inference/warm:v0",
    ]
    assert len({text for _, text in alone}) == 3, alone
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda model: ask(client, model), models * 4))
    assert together == alone * 4


def test_a_stream_names_the_version(client):
    stream = client.chat.completions.create(
        model="wandb-artifact:///default/inference/dry", messages=PROMPT, max_tokens=8, stream=True
    )
    assert {chunk.model for chunk in stream} == {"wandb-artifact:///default/inference/dry:v0"}


def test_an_adapter_that_is_not_there_is_not_found(client):
    for name in ("wandb-artifact:///default/inference/none", "wandb-artifact:///other/inference/dry"):
        with pytest.raises(openai.NotFoundError) as refusal:
            ask(client, name)
        assert refusal.value.code == "model_not_found"


def test_the_command_adds_names_and_removes(server, client, shapes, tmp_path):
    for name, content in adapter(shapes, 3).items():
        (tmp_path / name).write_bytes(content)

    def artifact(*arguments):
        command = [os.environ["TOKENMILL_BIN"], "artifact", *arguments, "--data-dir", server.data_dir, "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    path = "default/inference/by-hand"
    (added,) = artifact("add", path, str(tmp_path), "--base-model", MODEL)
    assert (added["version"], added["aliases"], added["rank"]) == ("v0", ["latest"], 4)
    artifact("alias", path, "mine", "v0")
    model, _ = ask(client, f"wandb-artifact:///{path}:mine")
    assert model == f"wandb-artifact:///{path}:v0"
    assert [row["artifact"] for row in artifact("list", "default")].count(path) == 1
    assert artifact("remove", path, "--all") == []
    with pytest.raises(openai.NotFoundError):
        ask(client, f"wandb-artifact:///{path}:mine")
