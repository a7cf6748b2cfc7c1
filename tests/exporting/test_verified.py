"""An export leaves a checked file, or none. The conversion is replaced where only that matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from volunet.errors import ExportError, OutputError
from volunet.exporting import verified
from volunet.exporting.check import CheckReport, CheckRow
from volunet.exporting.convert import example_size
from volunet.exporting.verified import export_network, failed_check
from volunet.nets import UNet3d
from volunet.plan import Plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def converts_to_tiny(monkeypatch: pytest.MonkeyPatch, tiny_onnx: Path) -> None:
    """Every network is converted to the bytes of `tiny_onnx`."""
    data = tiny_onnx.read_bytes()
    monkeypatch.setattr(verified, "convert", lambda network, plan: data)


@pytest.mark.usefixtures("converts_to_tiny")
def test_the_report_names_the_file_and_what_was_compared(
    tiny_network: UNet3d, tiny_plan: MakePlan, tiny_onnx: Path, tmp_path: Path
) -> None:
    file = tmp_path / "new folder" / "m.onnx"
    report = export_network(tiny_network, tiny_plan(), file, sizes=5)
    assert report.passed
    assert (report.model, report.reference) == (str(file), "torch")
    assert [row.engine for row in report.rows] == ["openvino", "onnxruntime"] * 5
    assert example_size(tiny_network) not in {row.size for row in report.rows}
    assert file.read_bytes() == tiny_onnx.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == ["m.onnx"]


@pytest.mark.usefixtures("converts_to_tiny")
def test_a_file_of_another_network_is_not_left_behind(
    tiny_network: UNet3d, tiny_plan: MakePlan, trained: Callable[..., Any], tmp_path: Path
) -> None:
    other = trained(tiny_plan())
    with torch.no_grad():
        other.head.bias += torch.tensor([0.0, 0.5, 0.0])
    with pytest.raises(ExportError) as caught:
        export_network(other, tiny_plan(), tmp_path / "m.onnx", sizes=3)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'm.onnx'}: 6 of 6 checks failed (")
    assert "1×1×1 on openvino: differs by 0.5; 1×1×1 on onnxruntime: differs by 0.5;" in message
    assert "1×29×53 on openvino: differs by 0.5;" in message
    assert "and 1 more)" in message
    assert "Every engine answers what torch does, within 0.0001, at every size." in message
    assert caught.value.exit_status == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("converts_to_tiny")
def test_a_tolerance_that_rounding_exceeds_leaves_no_file(
    tiny_network: UNet3d, tiny_plan: MakePlan, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"differs by \d"):
        export_network(tiny_network, tiny_plan(), tmp_path / "m.onnx", sizes=4, tolerance=0.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("converts_to_tiny")
def test_a_failed_check_keeps_the_file_that_was_to_be_replaced(
    tiny_network: UNet3d, tiny_plan: MakePlan, tmp_path: Path
) -> None:
    file = tmp_path / "m.onnx"
    file.write_text("the last good one")
    with pytest.raises(ExportError):
        export_network(tiny_network, tiny_plan(), file, sizes=4, tolerance=0.0, overwrite=True)
    assert file.read_text() == "the last good one"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("converts_to_tiny")
def test_an_existing_file_is_replaced_only_where_that_is_asked(
    tiny_network: UNet3d, tiny_plan: MakePlan, tiny_onnx: Path, tmp_path: Path
) -> None:
    file = tmp_path / "m.onnx"
    file.write_text("another")
    with pytest.raises(OutputError) as caught:
        export_network(tiny_network, tiny_plan(), file, sizes=1)
    assert str(caught.value).startswith(f"{file}: exists already.\n")
    assert file.read_text() == "another"
    export_network(tiny_network, tiny_plan(), file, sizes=1, overwrite=True)
    assert file.read_bytes() == tiny_onnx.read_bytes()


def test_the_error_names_up_to_five_faults(tiny_plan: MakePlan) -> None:
    rows = tuple(CheckRow((1, 2, size), "openvino", 0.5, "differs by 0.5") for size in range(1, 8))
    passed = CheckRow((9, 9, 9), "openvino", 0.0)
    report = CheckReport("m.onnx", "torch", 1e-4, (*rows, passed))
    error = failed_check(Path("m.onnx"), report, tiny_plan())
    listed = "; ".join(f"1×2×{size} on openvino: differs by 0.5" for size in range(1, 6))
    assert error.found == f"7 of 8 checks failed ({listed} and 2 more)"


@pytest.mark.parametrize(
    ("norm", "differences", "answer", "tolerance"),
    [
        ("instance", (2e-4, 0.00052), "logits", "0.0006"),
        ("group", (0.0011, 1e-5), "probabilities", "0.002"),
        ("instance", (2e-4, 0.02), "logits", None),
        ("instance", (2e-4, None), "logits", None),
        ("instance", (2e-4, 3e-4), "labels", None),
        ("batch", (2e-4, 3e-4), "logits", None),
    ],
    ids=["instance", "group", "too-large", "another-fault", "labels", "batch"],
)
def test_the_error_says_when_it_may_be_rounding(
    tiny_plan: MakePlan,
    norm: str,
    differences: tuple[float | None, ...],
    answer: str,
    tolerance: str | None,
) -> None:
    plan = tiny_plan(norm=norm, answer=answer)
    rows = tuple(CheckRow((1, 1, 1), "openvino", one, "differs") for one in differences)
    error = failed_check(Path("m.onnx"), CheckReport("m.onnx", "torch", 1e-4, rows), plan)
    assert f"Pass --tolerance {tolerance} if" in str(error) or tolerance is None
    assert ("Leave the failing engine out" in str(error)) is (tolerance is None)
