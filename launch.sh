#!/usr/bin/env bash
# One door to jaxcnn: sets up .venv when needed, then runs what was asked for. `./launch.sh help` lists it.
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
venv=$home/.venv

usage() {
  cat <<'TEXT'
usage: ./launch.sh [command] [words passed on]

  (nothing)    train on the embedded digits: train --flagfile=experiments/digits.flags
  train        python -m jaxcnn.train ...      train a network, or go on with it
  sweep        python -m jaxcnn.sweep ...      search hyperparameters (of the digits, without words)
  describe     python -m jaxcnn.describe ...   explain a layer or a model
  export       python -m jaxcnn.export ...     write a run's weights or program for elsewhere
  report       python -m jaxcnn.report ...     write a run's page
  test         the test suite; words go to pytest
  setup        only set up .venv

PYTHON=python3.12                     the interpreter .venv is made with (default python3)
JAXCNN_ACCELERATOR=cpu|cuda13|tpu     which jax to install (default: what this machine has)
JAXCNN_EXTRAS=parity                  further extras of pyproject.toml to install, separated by commas
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

accelerator() {
  if [ -n "${JAXCNN_ACCELERATOR:-}" ]; then
    case $JAXCNN_ACCELERATOR in
      cpu | cuda13 | tpu) echo "$JAXCNN_ACCELERATOR" ;;
      *) fail "JAXCNN_ACCELERATOR=$JAXCNN_ACCELERATOR: expected cpu, cuda13 or tpu" ;;
    esac
  elif command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo cuda13
  elif [ -e /dev/accel0 ] || { [ -n "${TPU_NAME:-}" ] && [ -e /dev/vfio/0 ]; }; then
    echo tpu
  else
    echo cpu
  fi
}

make_venv() {
  local python=${PYTHON:-python3} version
  command -v "$python" >/dev/null 2>&1 || fail "$python was not found: install Python 3.11 or newer, or set PYTHON="
  version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null) ||
    fail "$python does not run: set PYTHON= to a Python 3.11 or newer"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $version: 3.11 or newer is needed; set PYTHON= to one"
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python has no venv module: install it (Debian: apt-get install python3-venv)"
  echo "making .venv with Python $version" >&2
  "$python" -m venv --clear "$venv" >&2 || fail "$venv could not be made"
  command -v "$python" >"$venv/.made-with"
}

# Whether .venv is there, and made with the PYTHON that is asked for, if any.
made() {
  [ -x "$venv/bin/python" ] || return 1
  [ -z "${PYTHON:-}" ] || [ "$(cat "$venv/.made-with" 2>/dev/null)" = "$(command -v "$PYTHON" || echo "$PYTHON")" ]
}

# Install the extras that are asked for, unless this checkout's .venv has them already.
setup() {
  local extras=$1 kind stamp wanted
  kind=$(accelerator)
  [ "$kind" = cpu ] || extras=$extras,$kind
  [ -z "${JAXCNN_EXTRAS:-}" ] || extras=$extras,$JAXCNN_EXTRAS
  stamp=$venv/.jaxcnn-$extras
  wanted=$(printf '%s\n' "$home" && cksum <"$home/pyproject.toml" && cksum <"$home/constraints.txt")
  made || make_venv
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  echo "installing jaxcnn[$extras] into .venv (once; a minute or two)" >&2
  (cd "$home" && "$venv/bin/python" -m pip install --disable-pip-version-check --retries 2 \
    -c constraints.txt -e ".[$extras]" 2>&1) | tee "$venv/setup.log" |
    sed -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected.*/  installing/p' >&2 ||
    fail "the packages could not be installed; is there a network? pip's last words: $(tail -n 1 "$venv/setup.log")"
  printf '%s\n' "$wanted" >"$stamp"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  "")
    setup report
    cd "$home"
    exec "$venv/bin/python" -m jaxcnn.train --flagfile=experiments/digits.flags
    ;;
  sweep)
    setup report,sweep
    if [ $# -eq 0 ]; then
      cd "$home"
      set -- --flagfile=experiments/digits_sweep.flags
    fi
    exec "$venv/bin/python" -m jaxcnn.sweep "$@"
    ;;
  train | describe | export | report)
    setup report
    exec "$venv/bin/python" -m "jaxcnn.$command" "$@"
    ;;
  test)
    setup test
    cd "$home"
    exec "$venv/bin/python" -m pytest -n "${JAXCNN_TEST_WORKERS:-auto}" --dist worksteal "$@"
    ;;
  setup) setup report ;;
  help | -h | --help) usage ;;
  -*) fail "$command is a flag, which comes after a command: ./launch.sh train $command" ;;
  *)
    close=$("${PYTHON:-python3}" -c 'import difflib, sys; print(*difflib.get_close_matches(sys.argv[1], sys.argv[2:]), sep=" or ")' \
      "$command" train sweep describe export report test setup help 2>/dev/null) || close=
    fail "no such command: $command; ${close:+did you mean $close? }./launch.sh help lists them"
    ;;
esac
