#!/usr/bin/env bash
# Makes the bridge ready to run on this runner: a virtual environment of its own, made anew in each
# job, because whatever lies about on a runner could have been put there by another job.
# The secrets of the action are not in this step's environment.
#
# This runs in the job's folder, where `pip.py` or `venv.py` would be imported in the place of
# Python's own: so each Python is isolated (-I), and no variable of the job's says where it looks.
set -euo pipefail
unset "${!PYTHON@}"

home="$RUNNER_TEMP/approval-bridge"

stop() {
  echo "::error title=Approval bridge::$1"
  exit 1
}

find_python() {
  local each
  for each in python3 python3.{14,13,12,11} "${RUNNER_TOOL_CACHE:-/nowhere}"/Python/3.1[1-9].*/*/bin/python3; do
    if "$each" -I -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$each"
      return
    fi
  done
}

# Where pip is there already, making another one for the environment would take longer than the rest.
install() {
  if "$python" -I -m pip --version >/dev/null 2>&1; then
    "$python" -I -m venv --clear --without-pip "$home/venv"
    set -- "$python" -I -m pip --python "$home/venv/bin/python"
  else
    "$python" -I -m venv --clear "$home/venv" >/dev/null ||
      stop "$python has neither pip nor ensurepip: install python3-pip or python3-venv on this runner"
    set -- "$home/venv/bin/python" -I -m pip
  fi
  local locks=(--requirement "$GITHUB_ACTION_PATH/requirements.lock")
  [ -z "${KUBECONFIG:-}" ] || locks+=(--requirement "$GITHUB_ACTION_PATH/kubernetes.lock")
  "$@" install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --require-hashes "${locks[@]}" ||
    stop "what the bridge needs could not be installed: see above, and check that this runner reaches a package index"
}

[ ! -f "$home/ready" ] || exit 0
git --version >/dev/null 2>&1 || stop "there is no git on this runner: install git"
python=$(find_python)
[ -n "$python" ] || stop "there is no Python 3.11 or later on this runner: install one, or run actions/setup-python before"
install
touch "$home/ready"
