"""What the README takes from the code: the table of commands.  `python -m tests.support.readme` writes it."""

from __future__ import annotations

import os
import re

from devrun.verbs import VERBS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
README = os.path.join(ROOT, "README.md")
_BEGIN, _END = "<!-- commands: generated from devrun/verbs.py -->", "<!-- end of commands -->"


def commands_table() -> str:
    """Return the table of commands in Markdown."""
    rows = [f"| `{verb.name}` | {verb.help} | {verb.effect} |" for verb in VERBS]
    return "\n".join(["| command | what it does | effect |", "|---|---|---|", *rows])


def read_readme() -> str:
    """Return the text of the README."""
    with open(README, encoding="utf-8") as file:
        return file.read()


def table_in(text: str) -> str:
    """Return the table of commands that stands in a README."""
    found = re.search(f"{re.escape(_BEGIN)}\n(.*?){re.escape(_END)}", text, re.DOTALL)
    assert found, "the README has no place for the table of commands"
    return found[1].strip()


def setup_commands(text: str) -> list[str]:
    """Return the set-up commands: the one-line `sh` blocks of the section `60 seconds`."""
    section = text.split("## 60 seconds", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n([^\n]+)\n```", section)


if __name__ == "__main__":
    before = read_readme()
    with open(README, "w", encoding="utf-8") as target:
        head, _, rest = before.partition(_BEGIN)
        target.write(f"{head}{_BEGIN}\n{commands_table()}\n{_END}{rest.partition(_END)[2]}")
