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

# The locks have wheels for these. A later Python that is there as well is no reason to stop.
find_python() {
  local each
  for each in python3 python3.{14,13,12,11} "${RUNNER_TOOL_CACHE:-/nowhere}"/Python/3.1[1-4].*/*/bin/python3; do
    if "$each" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
      echo "$each"
      return
    fi
  done
}

install() {
  local locks=("$GITHUB_ACTION_PATH/requirements.lock") code=0
  [ -z "${KUBECONFIG:-}" ] || locks+=("$GITHUB_ACTION_PATH/kubernetes.lock")
  rm -rf "$home/venv"
  mkdir -p "$home" || stop "$RUNNER_TEMP cannot be written: give this runner a RUNNER_TEMP that can, with some free space"
  said=$("$python" -I "$GITHUB_ACTION_PATH/install_wheels.py" "$home/venv" "${locks[@]}") || code=$?
  case $code in
    0) ;;
    4) stop "$said" ;;
    *)
      echo "pip installs what the bridge needs, which is slower: $said"
      with_pip "${locks[@]/#/--requirement=}"
      ;;
  esac
}

# If pip is there already, to make another one for the environment would take longer than the rest.
with_pip() {
  local requirements=("$@")
  if "$python" -I -m pip --version >/dev/null 2>&1; then
    "$python" -I -m venv --clear --without-pip "$home/venv" ||
      stop "$python has no venv module: install python3-venv on this runner"
    set -- "$python" -I -m pip --python "$home/venv/bin/python"
  else
    "$python" -I -m venv --clear "$home/venv" >/dev/null ||
      stop "$python has neither pip nor ensurepip: install python3-pip or python3-venv on this runner"
    set -- "$home/venv/bin/python" -I -m pip
  fi
  "$@" install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --require-hashes "${requirements[@]}" ||
    stop "what the bridge needs could not be installed on this $(uname -m): see above. There are wheels for x86-64 and arm64. Check that this runner reaches a package index"
}

# A second step of the job may need the cluster's client, which the first one did not.
ready="$home/ready${KUBECONFIG:+-for-a-cluster}"
[ ! -f "$ready" ] && [ ! -f "$home/ready-for-a-cluster" ] || exit 0
git --version >/dev/null 2>&1 || stop "there is no git on this runner: install git"
python=$(find_python)
[ -n "$python" ] || stop "there is no Python 3.11, 3.12, 3.13 or 3.14 on this runner: install one, or run actions/setup-python before"
install
touch "$ready"
