"""The loop around the step."""

from jaxcnn.config import Config
from jaxcnn.engine import loop


def test_a_run_compiles_its_step_once(compiled, tmp_path):
    with compiled() as names:
        loop.run(Config(model="mlp(hidden=[8])", batch_size=100, steps=4, workdir=str(tmp_path / "run")))
    assert names.count("advance") + names.count("scan") == 1
