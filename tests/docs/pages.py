"""The pages of README and docs, and the blocks in them.

A `console` block holds commands that a reader types; a `python` block is a program. Both are run, or are listed here
with the reason why not. Everything else (`text`, `json`, `sql`, `js`) is output or an excerpt.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.name != "CHANGELOG.md")

#: Pages none of whose commands can be run beside the tests' stack.
NOT_RUN = {
    "CONTRIBUTING.md": "its commands are the tests themselves",
    "docs/how-to/containers.md": "needs Docker; tests/compose uses the same files",
    "docs/how-to/supply-chain.md": "its commands are the tests themselves, and need Docker",
    "docs/how-to/own-servers.md": "needs servers of other people",
    "docs/how-to/telemetry.md": "needs a collector; tests/integration has one",
    "docs/how-to/back-up.md": "stops the stack that the other pages use; tests/integration does the same",
    "docs/how-to/dashboards.md": "writes files of the repository, and installs a package",
    "docs/how-to/add-a-metric.md": "writes files of the repository; other tests compare them",
    "docs/reference/gateway.md": "needs a certificate; tests/gateway makes one",
    "docs/reference/bench.md": "takes minutes; tests/integration runs short ones",
    "docs/reference/commands.md": "the examples of the help, each for itself; they are parsed",
}

#: Beginnings of commands that are not run on any page.
SKIPPED = {
    "sh install.sh": "the README's first two blocks: they run this, and CI runs them",
    "bdemo top": "fills the screen until somebody presses q; with --once it is run",
    "bdemo run": "runs until Ctrl-C",
    "bdemo tail mqtt": "follows until Ctrl-C",
    "bdemo tail topic": "follows until Ctrl-C; with --exit it is run",
    "bdemo up --stack": "needs Docker",
    "bdemo down": "would end the stack that the other pages use",
    "bdemo bench": "takes minutes",
    "bdemo backup": "stops the stack that the other pages use",
    "bdemo chaos run": "takes a minute; tests/integration runs one",
    "bdemo tail api": "follows until Ctrl-C",
    "curl -N": "follows until Ctrl-C",
    "BDEMO_POSTGRES_READER_DSN=": "needs a database of other people",
}

#: Programs of other people that a machine may lack; their commands are run where they are installed.
FOREIGN = ("mosquitto_pub", "kcat", "psql", "jq", "curl")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The commands of a page, each as one line, without the prompt."""
    lines = "".join(blocks(page, "console")).replace("\\\n", "").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.strip()]


def skipped(command: str) -> bool:
    """Whether a command is not run, by SKIPPED."""
    ends = "--exit" in command or "--once" in command
    return any(command.startswith(start) for start in SKIPPED) and not (ends and command.startswith("bdemo t"))
