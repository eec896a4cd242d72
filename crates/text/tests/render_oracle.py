#!/usr/bin/env python3
"""Renders chat templates as transformers does, for comparison. Needs only jinja2.

Reads one JSON object a line on standard input: {"source", "variables", "now"}; writes one a line:
{"text"} or {"error"}.
"""

import datetime
import functools
import json
import sys

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; rendering only passes its body through."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def main():
    env = environment()
    compile_once = functools.lru_cache(maxsize=64)(env.from_string)
    for line in sys.stdin:
        case = json.loads(line)
        moment = datetime.datetime.fromtimestamp(case["now"], datetime.timezone.utc)
        env.globals["strftime_now"] = moment.strftime
        try:
            template = compile_once(case["source"])
            answer = {"text": template.render(**case["variables"])}
        except Exception as error:  # whatever goes wrong is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
