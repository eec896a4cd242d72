"""Functions as the chat template lists them, calls as the model writes them, and what comes back."""

import json


class Tool:
    """A function: its name, what it says of itself, and its parameters as (name, kind, optional, description)."""

    def __init__(self, name, description, parameters):
        self.name, self.description, self.parameters = name, description, parameters

    def listed(self):
        lines = [self.name + (": " + self.description if self.description else "")]
        for name, kind, optional, description in self.parameters:
            about = ": " + description if description else ""
            lines.append(f"- {name} ({kind}{', optional' if optional else ''}){about}")
        return "\n".join(lines)


def listing(tools, before=""):
    """The system turn that names these functions; `before` is the application's own system message."""
    return (before + "\n\n" if before else "") + "\n\n".join(["# Tools"] + [tool.listed() for tool in tools])


def call(name, arguments):
    """One call, as the template and the grammar have it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"


def response(*texts):
    """The user turn that brings results back."""
    return "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)
