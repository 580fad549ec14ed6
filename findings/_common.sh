# Sourced by every finding. `install PACKAGE==VERSION ...` puts packages into a virtual environment that is removed when
# the script ends; "$python" runs in it. Whatever asks for torch gets exactly the version below.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$folder/venv/bin/python

install() {
    echo "torch==2.13.0" >"$folder/constraints.txt"
    if ! { python3 -m venv "$folder/venv" && "$python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$folder/constraints.txt" "$@"; }; then
        echo "Nothing was tried: pip could not install $*." >&2
        exit 2
    fi
}
