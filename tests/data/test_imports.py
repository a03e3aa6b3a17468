"""Importing the package stays cheap, for commands and for reader processes."""

import subprocess
import sys

HEAVY = ("tensorflow_datasets", "tensorflow", "grain", "orbax", "sklearn", "optuna", "matplotlib", "flax")


def test_heavy_packages_wait_until_they_are_needed():
    code = f"import sys, jaxcnn.data; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_resident_run_never_imports_grain(data_dir, digits):
    code = (
        "import sys; from jaxcnn import data\n"
        f"digits = data.load('digits', data_dir={str(data_dir)!r})\n"
        "data.make_feed(digits.splits['train'], 8, seed=0).payload(0)\n"
        "list(data.eval_batches(digits.splits['test'], 64))\n"
        "print('grain' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
