#!/usr/bin/env bash
# Makes .venv from the hashed requirements.lock, with uv kept inside the checkout (.tools/).
# It can be called again: when the lock and the project file are unchanged, it does nothing.
#   scripts/setup.sh            the environment only
#   scripts/setup.sh report     and the system libraries of the PDF report
#   scripts/setup.sh test       and what the whole test suite needs (only in CI or with MLIDS_APT=1)
set -euo pipefail
cd "$(dirname "$0")/.."
what="${1:-env}"

say() { printf '\033[1m[setup]\033[0m %s\n' "$*" >&2; }

apt_install() { # names...: installs them when root, else stops with the command to paste
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing system packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "$@" >/tmp/mlids-apt.$$.log 2>&1 ||
      { apt-get update >/tmp/mlids-apt.$$.log 2>&1 && apt-get install -y --no-install-recommends "$@" >>/tmp/mlids-apt.$$.log 2>&1; } ||
      { tail -n 20 /tmp/mlids-apt.$$.log >&2; say "apt-get could not install: $*"; exit 1; }
    rm -f /tmp/mlids-apt.$$.log
  else
    say "missing system packages; paste this line, then run the same command again:"
    printf '  sudo apt-get update && sudo apt-get install -y %s\n' "$*" >&2
    exit 1
  fi
}

good_python() { "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; }

python=""
for candidate in "${PYTHON:-}" python3 python3.12 python3.13 python3.11 python3.14; do
  [ -n "$candidate" ] && good_python "$candidate" && { python="$candidate"; break; }
done
[ -n "$python" ] || { say "Python 3.11, 3.12, 3.13 or 3.14 is needed and none was found (set PYTHON=/path/to/python3)"; exit 1; }
python="$("$python" -c 'import sys; print(sys.executable)')"

uv=".tools/uv/bin/uv"
if ! [ -x "$uv" ] || ! cmp -s scripts/uv.lock .tools/uv.stamp; then
  "$python" -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  say "installing uv into .tools/"
  rm -rf .tools/uv
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --target .tools/uv -r scripts/uv.lock
  cp scripts/uv.lock .tools/uv.stamp
fi
export UV_PYTHON_DOWNLOADS=never

stamp="$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1) $python"
if ! [ -x .venv/bin/mlids ] || [ "$(cat .venv/mlids.stamp 2>/dev/null)" != "$stamp" ]; then
  say "making .venv from requirements.lock ($("$python" --version))"
  current="$(.venv/bin/python -c 'import sys; print(sys.base_prefix)' 2>/dev/null || true)"
  [ -n "$current" ] && [ "$current" = "$("$python" -c 'import sys; print(sys.base_prefix)')" ] ||
    "$uv" venv --quiet --clear --python "$python" .venv
  VIRTUAL_ENV="$PWD/.venv" "$uv" pip sync --quiet --compile-bytecode --require-hashes requirements.lock
  VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --no-deps --no-build-isolation -e .
  printf '%s' "$stamp" > .venv/mlids.stamp
fi

has_pango() { .venv/bin/python -c 'import ctypes; ctypes.CDLL("libpango-1.0.so.0"); ctypes.CDLL("libpangoft2-1.0.so.0")' 2>/dev/null; }
if [ "$what" = report ] || [ "$what" = test ]; then
  has_pango || apt_install libpango-1.0-0 libpangoft2-1.0-0 fonts-dejavu-core
fi
if [ "$what" = test ] && { [ "${CI:-}" = true ] || [ "${MLIDS_APT:-}" = 1 ]; }; then
  wanted=()
  [ -x /usr/sbin/sshd ] || wanted+=(openssh-server openssh-client)
  command -v sftp >/dev/null || wanted+=(openssh-client)
  command -v chromium >/dev/null || wanted+=(chromium)
  command -v mvn >/dev/null || wanted+=(maven)
  ls /usr/lib/jvm/*17*/bin/javac >/dev/null 2>&1 || wanted+=(openjdk-17-jdk-headless)
  command -v prometheus >/dev/null || wanted+=(prometheus)
  command -v pdftotext >/dev/null || wanted+=(poppler-utils)
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || wanted+=(postgresql)
  [ "${#wanted[@]}" = 0 ] || apt_install "${wanted[@]}"
fi
