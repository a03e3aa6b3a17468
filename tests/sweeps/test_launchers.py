"""A device for each worker, told by the environment and the files of the system alone."""

import pytest

from jaxcnn.errors import UserError
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.launchers import LocalLauncher, device_variables, devices, share
from jaxcnn.sweeps.settings import Settings


@pytest.fixture
def machine(tmp_path):
    """A machine with the device files that it is given."""

    def machine(*names):
        for name in names:
            (tmp_path / "dev" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "dev" / name).touch()
        return tmp_path

    return machine


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), []),
        (("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"), [("cuda", str(i)) for i in range(3)]),
        (("accel0", "accel1"), [("tpu", "0"), ("tpu", "1")]),
        (("vfio/vfio", "vfio/0", "vfio/1", "vfio/2", "vfio/3"), [("tpu", str(i)) for i in range(4)]),
    ],
    ids=lambda value: "",
)
def test_devices_are_counted_without_touching_them(machine, names, expected):
    root = machine(*names)
    assert devices({}, root) == expected
    assert devices({"JAX_PLATFORMS": "cpu"}, root) == []


def test_the_environment_narrows_devices_down(machine):
    root = machine("nvidia0", "nvidia1")
    assert devices({"CUDA_VISIBLE_DEVICES": "1, GPU-7f"}, root) == [("cuda", "1"), ("cuda", "GPU-7f")]
    assert devices({"CUDA_VISIBLE_DEVICES": ""}, root) == []
    assert devices({"TPU_VISIBLE_CHIPS": "2"}, root) == [("tpu", "2")]


def test_each_worker_has_a_device_of_its_own():
    cards, chips = ([(kind, str(i)) for i in range(4)] for kind in ("cuda", "tpu"))
    assert [device_variables(cards, slot, 4) for slot in range(4)] == [
        {"CUDA_VISIBLE_DEVICES": str(i)} for i in range(4)
    ]
    found = [device_variables(chips, slot, 4) for slot in range(4)]
    assert [one["TPU_VISIBLE_CHIPS"] for one in found] == list("0123")
    assert {one["TPU_PROCESS_BOUNDS"] for one in found} == {"1,1,1"}
    with pytest.raises(UserError, match="--workers=8: a TPU chip serves one process; expected at most 4"):
        device_variables(chips, 0, 8)


def test_workers_on_one_card_share_its_memory():
    found = [device_variables([("cuda", "0"), ("cuda", "1")], slot, 3) for slot in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "1", "0"]
    assert [one.get("XLA_PYTHON_CLIENT_MEM_FRACTION") for one in found] == ["0.45", None, "0.45"]


def test_as_many_workers_as_devices_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    folder, search = SweepFolder(tmp_path), ("momentum=choice(0,0.9)",)
    assert LocalLauncher(Settings(search=search), folder).size == 3
    assert LocalLauncher(Settings(search=search, workers=5), folder).size == 5
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert LocalLauncher(Settings(search=search), folder).size == 1


def test_without_devices_workers_share_the_cores():
    assert [share(list(range(5)), slot, 2) for slot in range(2)] == [[0, 1], [2, 3]]
    assert [share([4, 7], slot, 3) for slot in range(3)] == [[4], [7], [4]]
