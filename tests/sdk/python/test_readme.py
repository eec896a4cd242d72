"""README's SDK example, run as it stands there but for the key and the port."""

import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).resolve().parents[3] / "README.md"


def test_the_readme_example_prints_an_answer(server):
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    assert '"tm-..."' in example and '"http://127.0.0.1:8080/v1"' in example
    program = example.replace('"tm-..."', repr(server.key))
    program = program.replace('"http://127.0.0.1:8080/v1"', repr(server.base_url))
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
    assert len(answer.split()) >= 4, answer
