"""What the documents say can be typed: every command parses, every linked file is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from volunet.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
ENDS_A_COMMAND = {"|", "||", "&&", "&", ";", ">", ">>", "2>", "<"}
OUR_OWN = "--debug"
"""The one flag that is taken out before the parser sees it."""


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request) -> str:
    if not request.param.is_file():
        pytest.skip(f"{request.param.name} is not written yet")
    return request.param.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def verbs():
    return typer.main.get_command(app).commands


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each ``volunet`` command in the code blocks, without what follows a pipe."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            match = re.match(r"\s*(?:\$ )?(volunet\b .*)", line)
            if match is not None:
                words = shlex.split(match[1], comments=True)
                ends = [place for place, word in enumerate(words) if word in ENDS_A_COMMAND]
                yield words[1 : min(ends, default=len(words))]


def forms_of(text: str) -> Iterator[list[str]]:
    """The words of each ``volunet …`` within a sentence or a table: a form, or a mere name."""
    for form in re.findall(r"`volunet ([^`]+)`", BLOCK.sub("", text)):
        yield form.replace("\\|", "|").split()


def fault_of(words: list[str], verbs, *, is_form: bool = False) -> str | None:
    """What is wrong with a command, None where it can be typed.

    Of a form, such as ``volunet train DATASET [--seed S]``, only the flags are looked at.
    """
    words = [word for word in words if word != OUR_OWN]
    if not words or words[0].startswith("-"):
        known = {"--help", "-h", "--version"}
        return None if set(words) <= known else f"no such flag in {words}"
    if words[0] not in verbs:
        return f"no such command: {words[0]}"
    command = verbs[words[0]]
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for word in words[1:]:
        flag = re.match(r"\[?(--?[a-zA-Z][\w-]*)", word)
        if flag and flag[1] not in flags | {"--help", "-h"}:
            return f"{words[0]} has no {flag[1]}"
    if is_form or any(mark in word for word in words for mark in ("[", "…", "...", "--help")):
        return None
    try:
        command.make_context(words[0], words[1:])
    except Exception as error:  # noqa: BLE001  (click's errors have no public base in typer)
        return f"volunet {' '.join(words)}: {error}"
    return None


def test_commands_can_be_typed(document, verbs):
    faults = [fault_of(words, verbs) for words in commands_of(document)]
    faults += [fault_of(words, verbs, is_form=True) for words in forms_of(document)]
    assert [fault for fault in faults if fault] == []


def test_readme_shows_every_command(verbs):
    if not DOCUMENTS[0].is_file():
        pytest.skip("README.md is not written yet")
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    shown = {words[0] for words in (*commands_of(text), *forms_of(text)) if words}
    assert shown >= set(verbs)
    # The three commands of a user's path can be copied from a block.
    assert {words[0] for words in commands_of(text)} >= {"train", "export", "predict"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("volunet train data -o run --minutes 5 --debug", None),
        ("volunet train data -o run --minutes five", "five"),
        ("volunet train data", "output"),
        ("volunet train data -o run --gpu 1", "train has no --gpu"),
        ("volunet fit data -o run", "no such command: fit"),
        ("volunet predict MODEL SCAN… -o DIR [--engine auto]", None),
        ("volunet predict MODEL SCAN… -o DIR [--tiles 4]", "predict has no --tiles"),
        ("$ volunet check m.onnx --json - | jq .passed  # the verdict", None),
        ("volunet --version", None),
        ("volunet --versions", "no such flag"),
    ],
)
def test_wrong_commands_are_found(verbs, line, fault):
    (words,) = commands_of(f"text\n```sh\n{line}\n```\n")
    found = fault_of(words, verbs)
    assert (found is None) if fault is None else (fault in (found or ""))


def test_forms_within_sentences(verbs):
    text = "Try `volunet train` or\n`volunet predict MODEL\nSCAN… --gpu`, not `volunet fit`.\n"
    forms = list(forms_of(text))
    assert forms == [["train"], ["predict", "MODEL", "SCAN…", "--gpu"], ["fit"]]
    assert [fault_of(words, verbs, is_form=True) for words in forms] == [
        None,
        "predict has no --gpu",
        "no such command: fit",
    ]


def test_commands_outside_of_code_are_no_commands():
    assert list(commands_of("volunet nonsense\n```python\nimport volunet\n```\n")) == []
    (words,) = commands_of("```\nvolunet phantom -o d \\\n    --cases 3\n```")
    assert words == ["phantom", "-o", "d", "--cases", "3"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_are_there(path):
    if not path.is_file():
        pytest.skip(f"{path.name} is not written yet")
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", text)
    links += re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []
