"""Every parameter of the official package's chat completions has a row in docs/parameters.md."""

import re
from pathlib import Path

from openai.types.chat import completion_create_params as params

PAGE = Path(__file__).resolve().parents[3] / "docs/parameters.md"


def test_every_parameter_of_openai_has_a_row():
    section = PAGE.read_text().split("## `POST /v1/chat/completions`")[1].split("\n## ")[0]
    rows = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    kinds = (params.CompletionCreateParamsBase, params.CompletionCreateParamsStreaming)
    known = {name for kind in kinds for name in kind.__annotations__}
    assert len(known) > 30
    assert known - rows == set()
