"""Shell commands of the documents: read, compared with a table, and run.

A table (``tests/docs/*.yml``) says of every command of a document whether it is run and
what shortens it, or why it is not run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.conftest import PROGRAMS, REPO, tool_env

LANGUAGES = ('shell', 'bash', 'sh', 'console')
# What a block holds beside commands: assignments and loops.
STRUCTURE = re.compile(r'\w+=\S*|for .+; do|done')
COMMENT = re.compile(r'(^|\s+)#(\s.*)?$')
TABLES = sorted((REPO / 'tests/docs').glob('*.yml'))
# What a clone holds that commands read.
CLONED = (
    *('configs', 'docs', 'lab', 'mmdefect', 'requirements', 'tools'),
    'data/README.md',
)
TIME_LIMIT = 900  # seconds a document


def documents() -> list[str]:
    """Every page that shows a user commands, relative to the repository."""
    patterns = ('*.md', 'docs/**/*.md', 'configs/**/README.md', 'data/README.md')
    pages = {path for pattern in patterns for path in REPO.glob(pattern)}
    return sorted(path.relative_to(REPO).as_posix() for path in pages)


class Statement(NamedTuple):
    """A line of a code block, its continuation lines joined and comments removed."""

    line: int
    text: str

    @property
    def is_command(self) -> bool:
        return not STRUCTURE.fullmatch(self.text)


def blocks(document: str, languages: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the lines of every fenced block."""
    fence = re.compile(r'\s*```(\w*)\s*$')
    inside, start, lines = None, 0, []
    text = (REPO / document).read_text(encoding='utf-8')
    for number, line in enumerate(text.splitlines(), 1):
        match = fence.match(line)
        if not match:
            lines.append(line)
        elif inside is None:
            inside, start, lines = match[1], number + 1, []
        else:
            if inside in languages:
                yield start, lines
            inside = None
    if inside is not None:
        raise ValueError(f'{document}:{start}: this block has no end')


def statements(document: str) -> list[Statement]:
    """Read all shell blocks of a document, as a reader who goes from top to bottom.

    Raises:
        ValueError: A line holds several commands, which could not be told apart.
    """
    found = []
    for start, lines in blocks(document, LANGUAGES):
        begun, text = start, ''
        for number, line in enumerate(lines, start):
            begun = begun if text else number
            text += COMMENT.sub('', line).removeprefix('$ ')
            if text.endswith('\\'):
                text = text[:-1]
                continue
            if stripped := ' '.join(text.split()):
                found.append(Statement(begun, stripped))
            text = ''
    for line, text in found:
        bare = re.sub(r'\$\(.*?\)', '', text)
        if re.search(r'[|&<>]|;(?! do$)', bare):
            raise ValueError(f'{document}:{line}: expected one command a line: {text}')
    return found


@dataclass
class Entry:
    """What the table says of a command.

    Attributes:
        text: The command as the document has it.
        reason: Why it is not run, ``None`` when it is.
        same_as: The document that runs the same command.
        replace: Texts in it -> what stands there when it runs.
        append: Words after it when it runs, or names in ``shorter``.
        leaves: Patterns of files that are there afterwards.
        prints: Texts in what it prints.
        cold: It starts a new Python, as for the reader.
    """

    text: str
    reason: str | None = None
    same_as: str | None = None
    replace: Mapping[str, str] = field(default_factory=dict)
    append: Sequence[str] = ()
    leaves: Sequence[str] = ()
    prints: Sequence[str] = ()
    cold: bool = False

    @property
    def runs(self) -> bool:
        return self.reason is None and self.same_as is None

    def as_run(self) -> str:
        """Return the command with what shortens it or stands for the reader's files.

        Raises:
            ValueError: A text to be replaced is not in it.
        """
        text = self.text
        for old, new in self.replace.items():
            if old not in text:
                raise ValueError(f'{old!r} is not in the command: {text}')
            text = text.replace(old, new)
        return ' '.join([text, *self.append])


@dataclass
class Plan:
    """What the table says of a document.

    Attributes:
        commands: Of all its commands.
        data: Folder that the reader has -> what is drawn there instead.
        prepare: Commands that lead to where the document begins.
        cold: So do all its commands.
    """

    commands: list[Entry]
    data: Mapping[str, str] = field(default_factory=dict)
    prepare: Sequence[str] = ()
    cold: bool = False


def read_table(path: Path) -> dict[str, Plan]:
    """Read the plans of the documents in a table."""
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    shorter = content.get('shorter', {})
    plans = {}
    for document, plan in content['documents'].items():
        entries = [_entry(dict(row), shorter) for row in plan.pop('commands')]
        plans[document] = Plan(entries, **plan)
    return plans


def _entry(row: dict[str, Any], shorter: Mapping[str, str]) -> Entry:
    if 'skip' in row:
        return Entry(row['skip'], reason=row['because'])
    if 'same' in row:
        return Entry(row['same'], same_as=row['as'])
    row['append'] = [shorter.get(name, name) for name in row.get('append', ())]
    return Entry(row.pop('run'), **row)


def read_tables() -> dict[str, Plan]:
    """Read all tables; a document is in one of them."""
    plans: dict[str, Plan] = {}
    for path in TABLES:
        table = read_table(path)
        if twice := plans.keys() & table.keys():
            raise ValueError(f'{path.name}: {twice} is in another table too')
        plans |= table
    return plans


def differences(document: str, plan: Plan) -> list[str]:
    """Compare the commands of a document with those of the table, one by one."""
    rows = [entry.text for entry in plan.commands]
    messages = []
    for line, text in (s for s in statements(document) if s.is_command):
        if text in rows:
            rows.remove(text)
        else:
            messages.append(f'{document}:{line}: not in the table: {text}')
    messages += [f'{document}: no command of it, but in the table: {t}' for t in rows]
    return messages


def expanded(document: str, plan: Plan) -> dict[int, list[list[str]]]:
    """Let bash expand variables, braces and loops, without running a command.

    Returns:
        Line -> words of the command, once for every turn of its loop.
    """
    script = ["show() { local IFS=$'\\x1f'; printf '%s\\x1e' \"$*\"; }"]
    entries = {entry.text: entry for entry in plan.commands}
    for statement in statements(document):
        line, text = statement
        if statement.is_command and text in entries:
            text = entries[text].as_run()
        script.append(f'show {line} {text}' if statement.is_command else text)
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', '\n'.join(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    words: dict[int, list[list[str]]] = {}
    for record in done.stdout.split('\x1e')[:-1]:
        line, *command = record.split('\x1f')
        words.setdefault(int(line), []).append(command)
    return words


def clone_to(folder: Path) -> Path:
    """Copy what a user's clone holds, as a repository with one commit."""
    for name in CLONED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, target, symlinks=True)
        else:
            shutil.copyfile(REPO / name, target)
    for file in REPO.iterdir():
        if file.is_file() and file.name != '.git':  # a file in a second work tree
            shutil.copyfile(file, folder / file.name)
    for arguments in (
        'init --quiet',
        'config user.name reader',
        'config user.email reader@localhost',
        'add --all',
        'commit --quiet --message clone',
    ):
        subprocess.run(
            ['git', *arguments.split()], cwd=folder, check=True, capture_output=True
        )
    return folder


def script_of(document: str, plan: Plan) -> str:
    """Write a document's commands as one script; line 12 prints to $LOGS/12.txt."""
    entries = {entry.text: entry for entry in plan.commands}
    lines = [f'{{ {text}; }} >>$LOGS/0.txt 2>&1' for text in plan.prepare]
    lines = [f'{line} || exit 1' for line in lines]
    for statement in statements(document):
        line, text = statement
        if not statement.is_command:
            lines.append(text)
        elif entries[text].runs:
            path = 'PATH=$COLD:$PATH; ' * entries[text].cold
            command = f'({path}{entries[text].as_run()}) >>$LOGS/{line}.txt 2>&1'
            lines.append(f'{command}; echo {line} $?')
        elif not lines or lines[-1].endswith('; do'):
            lines.append(':')
    return '\n'.join(lines)


def _logs(clone: Path) -> Path:
    """Beside the clone, which stays clean."""
    return clone.with_name('logs')


def run_document(document: str, plan: Plan, folder: Path, programs: Path) -> list[str]:
    """Run a document's commands in a clone, one after the other.

    Args:
        document: Its path.
        plan: What the table says of it.
        folder: The clone, with the data that the reader has.
        programs: Where ``python`` is found before all others.

    Returns:
        What went wrong, a message a command.
    """
    _logs(folder).mkdir()
    path = [str(programs), str(PROGRAMS), os.environ['PATH']]
    env = tool_env(
        PATH=os.pathsep.join(path),
        PYTHONPATH=str(folder),
        LOGS=str(_logs(folder)),
        COLD=str(PROGRAMS),
    )
    with subprocess.Popen(
        ['bash', '-c', script_of(document, plan)],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            # Not SIGKILL: torchrun takes its workers along.
            os.killpg(process.pid, signal.SIGTERM)
            printed, _ = process.communicate()
            printed += f'\nlonger than {TIME_LIMIT} s'
    codes: dict[int, set[int]] = {}
    for line, code in re.findall(r'^(\d+) (\d+)$', printed, re.MULTILINE):
        codes.setdefault(int(line), set()).add(int(code))
    return problems(document, plan, folder, codes, printed)


def problems(
    document: str,
    plan: Plan,
    folder: Path,
    codes: Mapping[int, set[int]],
    printed: str,
) -> list[str]:
    """Say which commands failed, or did not leave or print what they should."""
    entries = {entry.text: entry for entry in plan.commands}
    found = []
    for line, text in statements(document):
        if text not in entries or not entries[text].runs:
            continue
        entry, log = entries[text], _logs(folder) / f'{line}.txt'
        said = log.read_text(encoding='utf-8') if log.is_file() else printed
        wrong = []
        if codes.get(line) != {0}:
            wrong.append(f'exit code {codes.get(line, "none: it did not run")}')
        wrong += [f'{p} is not there' for p in entry.leaves if not any(folder.glob(p))]
        wrong += [f'{t!r} was not printed' for t in entry.prints if t not in said]
        if wrong:
            found.append(
                f'{document}:{line}: {entry.as_run()}\n'
                f'  {"; ".join(wrong)}\n{said[-3000:]}'
            )
    prepared = _logs(folder) / '0.txt'
    if found and prepared.is_file():
        found.append(prepared.read_text(encoding='utf-8')[-3000:])
    return found
