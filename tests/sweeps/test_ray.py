"""A sweep on a real Ray cluster of two nodes, one of which is lost on the way."""

import os
import subprocess
import sys

import pytest

from tests.sweeps.processes import ROOT, check_every_candidate_ended_once, start_parent, wait_for

pytestmark = pytest.mark.slow

# Two nodes of one core each; the second is killed, as by a power cut, once the file appears that it is told.
CLUSTER = """
import os, sys, time
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
cluster.remove_node(second, allow_graceful=False)
print("removed", flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster(tmp_path):
    """A cluster's address, and how to kill its second node."""
    pytest.importorskip("ray")
    signal = tmp_path / "kill"
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(signal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), "FAKE_SECONDS": "0.2"},
    )

    def kill():
        signal.write_text("")
        assert process.stdout.readline() == "removed\n"

    address = process.stdout.readline().strip()
    assert address, "the cluster did not start"
    yield address, kill
    process.communicate()


def test_a_sweep_survives_the_loss_of_a_node(folder, cluster):
    address, kill = cluster
    words = ("--launcher=ray", f"--ray_address={address}", "--trials=8", "--heartbeat=2")
    parent = start_parent(folder, *words)

    def workers():
        """Those that have taken a candidate, on whichever node."""
        logs = [log.read_text() for log in folder.trials.glob("*/log.txt")]
        return {line.split()[4] for log in logs for line in log.splitlines() if "taken by" in line}

    wait_for(lambda: len(workers()) == 2)
    kill()
    out, _ = parent.communicate(timeout=500)
    assert parent.returncode == 0, out
    assert "2 workers" in out
    assert "died (its node is gone)" in out
    check_every_candidate_ended_once(folder, 8, interruptions=1)


def test_no_cluster_is_answered_in_one_line(folder):
    pytest.importorskip("ray")
    parent = start_parent(folder, "--launcher=ray", "--ray_address=127.0.0.1:1")
    out, _ = parent.communicate(timeout=400)
    assert parent.returncode == 2, out
    assert "--ray_address=127.0.0.1:1: no cluster there" in out
    assert not folder.flags.exists()  # nothing was begun: another try may search something else
