"""The command itself: help, exit statuses, tracebacks on demand, Ctrl-C."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.metadata import version

import pytest

from volunet.cli.main import INTERRUPTED, main
from volunet.errors import ConfigError, ExportError

VERBS = (
    "demo", "phantom", "train", "predict", "evaluate", "export", "check", "inspect", "shapes",
    "draw", "reverse", "doctor",
)  # fmt: skip


def in_a_process(*words):
    return subprocess.run(
        [sys.executable, "-m", "volunet.cli", *words], capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def predict_raises(monkeypatch):
    """Make ``volunet predict`` raise an error, whatever the arguments."""

    def arrange(error):
        def predict(*_arguments, **_keys):
            raise error

        monkeypatch.setattr("volunet.api.predict.predict", predict)
        return ("predict", "model.onnx", "scan.nii.gz", "-o", "out")

    return arrange


def test_help_in_a_process():
    ended = in_a_process("--help")
    assert ended.returncode == 0
    for verb in VERBS:
        assert verb in ended.stdout
    assert "--debug, anywhere, adds the traceback" in ended.stdout


def test_bad_input_in_a_process(tmp_path):
    ended = in_a_process("check", str(tmp_path / "nothing.onnx"))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"{tmp_path}/nothing.onnx: no such file.",
        "A model is an ONNX file or a run folder of volunet train.",
        "Check the path.",
    ]


def test_command_line_starts_without_torch():
    """Help, usage errors and predictions from a file are quick: nothing heavy is imported."""
    code = (
        "import sys, volunet.cli.main; "
        "print(sorted({'torch', 'monai', 'pytorch_lightning', 'openvino', 'onnxruntime'} "
        "& set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n", ended.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_command(volunet, verb):
    status, out, _ = volunet(verb, "-h")
    assert status == 0
    assert f"volunet {verb}" in out


def test_version(volunet):
    assert volunet("--version")[:2] == (0, f"volunet {version('volunet')}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit"], "No such command 'fit'"),
        (["predict"], "Missing argument 'model'"),
        (["train", "data", "-o", "run"], "give a budget: --minutes M or --epochs E"),
        (["train", "data", "-o", "run", "--optimizer", "adam"], "--optimizer"),
        (["phantom", "-o", "out", "--cases", "0"], "--cases"),
        (["check", "m.onnx", "--magic"], "No such option"),
    ],
    ids=["command", "argument", "budget", "choice", "range", "option"],
)
def test_wrong_calls(volunet, words, message):
    status, out, err = volunet(*words)
    assert status == 2
    assert out == ""
    assert message.lower() in " ".join(err.split()).lower()


def test_error_is_its_four_parts(volunet, predict_raises):
    words = predict_raises(ConfigError("a/long path.onnx", "x" * 200, "Expected.", "Do."))
    assert volunet(*words) == (2, "", f"a/long path.onnx: {'x' * 200}.\nExpected.\nDo.\n")


def test_markup_in_messages_is_text(volunet, predict_raises):
    words = predict_raises(ConfigError("[red]a[/red].onnx", "[/b]", "[1, 2]", "Do."))
    assert volunet(*words).err == "[red]a[/red].onnx: [/b].\n[1, 2].\nDo.\n"


def test_status_of_a_failed_check(volunet, predict_raises):
    words = predict_raises(ExportError("m.onnx", "1 of 2 checks failed", "None may.", "Do."))
    assert volunet(*words).status == 1


@pytest.mark.parametrize("place", [0, 3, None], ids=["before", "within", "behind"])
def test_debug_adds_the_traceback(volunet, predict_raises, place):
    words = list(predict_raises(ConfigError("m.onnx", "found", "expected", "do")))
    assert "Traceback" not in volunet(*words).err
    words.insert(len(words) if place is None else place, "--debug")
    status, _, err = volunet(*words)
    assert status == 2
    assert "Traceback (most recent call last)" in err
    assert "volunet.errors.ConfigError" in err
    assert err.endswith("m.onnx: found.\nexpected.\ndo.\n")


def test_full_disk(volunet, predict_raises):
    words = predict_raises(OSError(errno.ENOSPC, "No space left on device", "out/a.nii.gz"))
    status, _, err = volunet(*words)
    assert status == 2
    assert err == (
        "out/a.nii.gz: No space left on device\n"
        "The disk is full: free some room, or write elsewhere; what was finished is kept.\n"
    )


def test_other_trouble_with_files(volunet, predict_raises):
    words = predict_raises(PermissionError(errno.EACCES, "Permission denied", "scans"))
    assert volunet(*words) == (2, "", "scans: Permission denied\n")


def test_interrupted(volunet, predict_raises):
    words = predict_raises(KeyboardInterrupt())
    status, out, err = volunet(*words)
    assert (status, out) == (130, "")
    assert "Interrupted." in err
    assert "Traceback" not in err
    assert INTERRUPTED == 130


@pytest.mark.usefixtures("logging_as_before")
def test_mistakes_of_ours_are_not_hidden(predict_raises):
    words = predict_raises(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(words)
