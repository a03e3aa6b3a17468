"""Where worker processes run: on this machine, a device each, or on a Ray cluster."""

import importlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxcnn.errors import UserError
from jaxcnn.sweeps.folder import SweepFolder
from jaxcnn.sweeps.settings import Settings

ENDED, UNKNOWN = 0, -1  # exit codes: well, and of a node that is gone


class Handle(Protocol):
    """A worker that was started."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def stop(self) -> None:
        """Ask it to save and leave."""

    def kill(self) -> None:
        """End it."""


class Launcher(Protocol):
    """Starts workers.

    Attributes:
      size: how many should run.
    """

    size: int

    def start(self, slot: int, name: str) -> Handle:
        """Start the worker ``name`` in one of ``size`` places."""


def make_launcher(settings: Settings, folder: SweepFolder) -> Launcher:
    """The launcher that the settings ask for."""
    return (RayLauncher if settings.launcher == "ray" else LocalLauncher)(settings, folder)


def command(folder: SweepFolder, name: str) -> list[str]:
    """What a worker's process runs."""
    return [sys.executable, "-m", "jaxcnn.sweeps.process", str(folder.path.absolute()), name]


class LocalLauncher:
    """Processes on this machine, each with a device of its own, or its share of the cores."""

    def __init__(self, settings: Settings, folder: SweepFolder) -> None:
        self._folder = folder
        self._devices = devices(os.environ)
        self.size = settings.workers or max(1, len(self._devices))

    def start(self, slot: int, name: str) -> "_Process":
        log = (self._folder.workers / f"{name}.log").open("w")
        cores = None if self._devices else share(sorted(os.sched_getaffinity(0)), slot, self.size)
        with log:
            process = subprocess.Popen(
                command(self._folder, name),
                stdin=subprocess.PIPE,  # it ends with this process, and the worker with it
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; workers are asked to stop by us
                env={**os.environ, **device_variables(self._devices, slot, self.size)},
            )
        if cores:
            os.sched_setaffinity(process.pid, cores)  # its threads start later, and inherit it
        return _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def devices(environment: Mapping[str, str], root: Path = Path("/")) -> list[tuple[str, str]]:
    """The accelerators of this machine as (kind, number), found without touching one; none on CPU.

    ``CUDA_VISIBLE_DEVICES`` and ``TPU_VISIBLE_CHIPS`` narrow them down, ``JAX_PLATFORMS=cpu`` hides them.

    Example:
      >>> devices({"CUDA_VISIBLE_DEVICES": "2,3"})
      [('cuda', '2'), ('cuda', '3')]
    """
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms.split(",")[0] == "cpu":
        return []
    for kind, variable in (("cuda", "CUDA_VISIBLE_DEVICES"), ("tpu", "TPU_VISIBLE_CHIPS")):
        if variable in environment:
            return [(kind, one.strip()) for one in environment[variable].split(",") if one.strip()]
    cards = sorted(root.glob("dev/nvidia[0-9]*"), key=lambda path: int(path.name[6:]))
    if cards:
        return [("cuda", str(i)) for i in range(len(cards))]
    chips = sorted(root.glob("dev/accel[0-9]*")) or sorted(root.glob("dev/vfio/[0-9]*"))
    return [("tpu", str(i)) for i in range(len(chips))]


def device_variables(found: list[tuple[str, str]], slot: int, size: int) -> dict[str, str]:
    """The environment that gives worker ``slot`` of ``size`` its device, and its share of the memory.

    Example:
      >>> device_variables([("cuda", "0"), ("cuda", "1")], 3, 4)
      {'CUDA_VISIBLE_DEVICES': '1', 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.45'}
    """
    if not found:
        return {}
    kind, number = found[slot % len(found)]
    if kind == "tpu":
        if size > len(found):
            raise UserError(f"--workers={size}: a TPU chip serves one process; expected at most {len(found)}")
        bounds = {"TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}
        return {"TPU_VISIBLE_CHIPS": number, "TPU_VISIBLE_DEVICES": number, **bounds}
    sharing = len(range(slot % len(found), size, len(found)))
    fraction = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / sharing:.2g}"} if sharing > 1 else {}
    return {"CUDA_VISIBLE_DEVICES": number, **fraction}


def share(cores: list[int], slot: int, size: int) -> list[int]:
    """The cores of worker ``slot``: disjoint shares, or one core for several where they are too few.

    Example:
      >>> share([0, 1, 2, 3], 1, 2), share([0, 1], 2, 4)
      ([2, 3], [0])
    """
    each = len(cores) // size
    return cores[slot * each : (slot + 1) * each] if each else [cores[slot % len(cores)]]


class RayLauncher:
    """Processes on the nodes of a Ray cluster; they need the folder and the database within reach."""

    def __init__(self, settings: Settings, folder: SweepFolder) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError("--launcher=ray needs Ray: pip install 'jaxcnn[ray]'") from error
        _check_reachable(settings.ray_address)  # Ray itself would try for minutes
        try:
            ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = str(error).splitlines()[0]
            raise UserError(f"--ray_address={settings.ray_address}: no cluster there ({line})") from error
        self._ray, self._folder = ray, folder
        _check_shared(folder.storage(settings), {node["NodeManagerHostname"] for node in _living(ray)})
        self._resources = {"num_cpus": settings.ray_cpus, "num_gpus": settings.ray_gpus}
        offered = ray.cluster_resources()
        places = [
            int(offered.get(kind, 0) // wanted)
            for kind, wanted in (("CPU", settings.ray_cpus), ("GPU", settings.ray_gpus))
            if wanted
        ]
        self.size = settings.workers or min(places, default=1)
        if not self.size:
            asked = f"--ray_cpus={settings.ray_cpus:g} --ray_gpus={settings.ray_gpus:g}"
            raise UserError(f"{asked}: the cluster offers no place for a worker")

    def start(self, slot: int, name: str) -> "_Task":
        log = str((self._folder.workers / f"{name}.log").absolute())
        # Ray does not run a lost task again: the supervisor starts another worker, under another name
        task = self._ray.remote(**self._resources, max_retries=0)(_process)
        return _Task(self._ray, task.remote(command(self._folder, name), log, dict(_passed(os.environ))))


def _living(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _check_shared(storage: str, hosts: set[str]) -> None:
    """Raise UserError where several machines would open one SQLite file, whose locks end at the machine."""
    if storage.startswith("sqlite") and (others := hosts - {socket.gethostname()}):
        named = ", ".join(sorted(others))
        raise UserError(
            f"--launcher=ray: SQLite is for one machine, and the cluster has {named} too; "
            "give --storage=postgresql://user@host/database"
        )


def _check_reachable(address: str) -> None:
    """Raise UserError where nobody listens at an address that names a host."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UserError(f"--ray_address={address}: no cluster there ({error})") from error


def _passed(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(("JAX_", "XLA_", "PYTHON", "TFDS_"))}


def _process(words: list[str], log: str, environment: dict[str, str]) -> int:
    """Run a worker's process on this node; runs there, so it needs nothing but the standard library."""
    import os
    import signal
    import subprocess

    with open(log, "w") as file:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


class _Task:
    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def poll(self) -> int | None:
        if not self._ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            if isinstance(cause := getattr(error, "cause", None), OSError):
                raise UserError(
                    f"--launcher=ray: a worker cannot start on its node ({cause}); expected this Python and "
                    "--workdir at the same path on every node"
                ) from error
            return UNKNOWN

    def stop(self) -> None:
        self._ray.cancel(self._reference)

    def kill(self) -> None:
        self._ray.cancel(self._reference, force=True)
