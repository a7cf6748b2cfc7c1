"""One thread for every library, and the tiny models that several packages' tests share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch or SimpleITK read it

import nibabel
import numpy as np
import pytest

from volunet.plan import NetworkPlan, Normalisation, Plan
from volunet.tasks.segmentation.plan import Segmentation

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def _process_as_found() -> Iterator[None]:
    """PyTorch on one thread, also behind a test that asked an engine for more; the log that the
    command line prints ends with the test that ran it."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "rich.logging" in sys.modules:
        root = logging.getLogger()
        printing = sys.modules["rich.logging"].RichHandler
        for handler in [one for one in root.handlers if isinstance(one, printing)]:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a file or folder once in a run of the tests, however many workers share it.

    What takes seconds is made so: an export, a training. It is not to be changed.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    folder.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        place, done = folder / name / name, folder / f"{name}.done"
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                place.parent.mkdir(exist_ok=True)
                make(place)
                done.touch()
        return place

    return made


@pytest.fixture(scope="session")
def converted(
    trained: Callable[[Plan], Any], made_once: Callable[..., Path]
) -> Callable[[Plan], bytes]:
    """Make the ONNX file of `trained` by plan. PyTorch takes some eight seconds for one."""
    from volunet.exporting.convert import convert

    def make(plan: Plan) -> bytes:
        name = hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:16] + ".onnx"
        return made_once(
            name, lambda place: place.write_bytes(convert(trained(plan), plan))
        ).read_bytes()

    return make


def shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the public files are not beside the project (../shared/{name})")
    return folder


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The notes' own network: weights, answers and pictures."""
    return shared_folder("reference")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Public scans."""
    return shared_folder("data")


@pytest.fixture(scope="session")
def files_of_at_most() -> Callable[[int], AbstractContextManager[None]]:
    """As on a full disk, writes beyond some bytes fail; Python ignores the signal that comes along.

    A context manager and not a state of the test: pytest's own output may be a longer file.
    """

    @contextmanager
    def limit(num_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def tiny_plan() -> Callable[..., Plan]:
    """Make the plan of a tiny network: CT with fixed numbers, three classes, on a 2×1.5×1 mm grid.

    Keywords of `NetworkPlan`, `Segmentation` and `Plan` replace its own; `channels` and `classes`
    are counts.
    """

    def make(channels: int = 1, classes: int = 3, **keys: Any) -> Plan:
        of_network = {k: keys.pop(k) for k in list(keys) if k in NetworkPlan.model_fields}
        of_task = {k: keys.pop(k) for k in list(keys) if k in Segmentation.model_fields}
        task = {
            "classes": ("background", "hip", "femur", "sacrum")[:classes],
            # Neither 0, 1, 2 nor below 256, so that indices taken for values show.
            "label_values": (0, 5, 300, 7)[:classes],
            "colours": ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))[:classes],
        }
        network = {"in_channels": channels, "out_channels": classes, "features": (4, 8, 16)}
        rule = Normalisation(kind="clip_zscore", low=-200.0, high=400.0, mean=50.0, std=120.0)
        plan = {
            "dataset": "tiny",
            "channels": ("CT", "PET", "MR")[:channels],
            "spacing_mm": (2.0, 1.5, 1.0),
            "normalisation": (rule,) * channels,
            "task": Segmentation(**(task | of_task)),
            "patch_size": (16, 16, 16),
            "batch_size": 2,
            "network": NetworkPlan(**(network | of_network)),
        }
        return Plan(**(plan | keys))

    return make


@pytest.fixture(scope="session")
def trained() -> Callable[[Plan], Any]:
    """Make a plan's network in eval mode, as if trained.

    Its batch norms have statistics other than 0 and 1, and no class wins everywhere.
    """
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    from volunet.nets import network_of

    def make(plan: Plan, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        network = network_of(plan).train()
        with torch.no_grad():
            for _ in range(20):
                network(torch.randn(2, len(plan.channels), 16, 16, 16))
            network.eval()
            heads: list[Any] = []
            hook = network.head.register_forward_hook(lambda *call: heads.append(call[-1]))
            network(torch.randn(1, len(plan.channels), 16, 16, 16))
            hook.remove()
            network.head.bias -= heads[0].mean(dim=(0, 2, 3, 4))
        return network

    return make


@pytest.fixture(scope="session")
def tiny_network(tiny_plan: Callable[..., Plan], trained: Callable[[Plan], Any]) -> Any:
    """The network that `tiny_onnx` was exported from."""
    return trained(tiny_plan())


@pytest.fixture(scope="session")
def tiny_onnx(
    tiny_plan: Callable[..., Plan], tiny_network: Any, made_once: Callable[..., Path]
) -> Path:
    """`tiny_network` as one verified ONNX file that answers logits."""
    from volunet.exporting.verified import export_network

    return made_once(
        "tiny.onnx", lambda file: export_network(tiny_network, tiny_plan(), file, sizes=6)
    )


@pytest.fixture(scope="session")
def labels_onnx(
    tiny_plan: Callable[..., Plan],
    trained: Callable[[Plan], Any],
    made_once: Callable[..., Path],
) -> Path:
    """A model of two channels (z-score) that answers class indices."""
    from volunet.exporting.verified import export_network

    zscore = Normalisation(kind="zscore")
    plan = tiny_plan(channels=2, features=(4, 8), normalisation=(zscore, zscore), answer="labels")
    return made_once("labels.onnx", lambda file: export_network(trained(plan), plan, file, sizes=6))


@pytest.fixture(scope="session")
def write_blobs() -> Callable[..., Path]:
    """Write an MSD data set of bright balls in noise, (12, 12, 12) voxels, with nibabel.

    Balls of 300 in a background of 100, noise of SD 20: a few steps learn it.
    """

    def write(folder: Path, cases: int = 4, prefix: str = "blob") -> Path:
        training = []
        for index in range(cases):
            rng = np.random.default_rng(index)
            centre = rng.uniform(4.2, 7.8, 3)[:, None, None, None]
            inside = ((np.indices((12, 12, 12)) - centre) ** 2).sum(axis=0) < 9
            image = 100 + 200 * inside + rng.normal(0, 20, inside.shape)
            name = f"{prefix}_{index}.nii.gz"
            for kind, array, dtype in (
                ("imagesTr", image, np.float32),
                ("labelsTr", inside, np.uint8),
            ):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                volume = nibabel.Nifti1Image(array.astype(dtype), np.diag([1.0, 1.5, 2.0, 1.0]))
                nibabel.save(volume, folder / kind / name)
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        content = {
            "name": "Blobs",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "blob"},
            "training": training,
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture(scope="session")
def blobs(write_blobs: Callable[..., Path], made_once: Callable[..., Path]) -> Path:
    """A data set of four blobs; not to be changed."""
    return made_once("blobs", write_blobs)


@pytest.fixture(scope="session")
def blob_plan() -> Plan:
    """A plan for `blobs` on their own grid, mirrored along W; patches of (8, 9, 10) voxels."""
    return Plan(
        dataset="Blobs",
        channels=("MRI",),
        spacing_mm=(2.0, 1.5, 1.0),
        normalisation=(Normalisation(kind="zscore"),),
        task=Segmentation(
            classes=("background", "blob"), label_values=(0, 1), colours=((0, 0, 0), (222, 74, 68))
        ),
        patch_size=(8, 9, 10),
        batch_size=2,
        mirror_axes=(2,),
        network=NetworkPlan(in_channels=1, out_channels=2, features=(4, 8)),
    )


@pytest.fixture(scope="session")
def blob_run(blobs: Path, made_once: Callable[..., Path]) -> Path:
    """A run of two epochs on fold 1/4 of `blobs`; not to be changed."""
    from volunet.api.train import train

    settings: dict[str, Any] = {"features": (4, 8), "patch_size": (12, 12, 12), "workers": 0}
    return made_once("run", lambda run: train(blobs, run, epochs=2, **settings))


@pytest.fixture(scope="session")
def blob_model(blob_run: Path, made_once: Callable[..., Path]) -> Path:
    """The exported network of `blob_run`, which answers logits; not to be changed."""
    from volunet.api.export import export

    return made_once("model.onnx", lambda model: export(blob_run, model, sizes=1))
