#!/bin/sh
# Makes dist/: the sdist, the wheel, the licences and the bill of materials of what it was tested
# with. The wheel is installed and tried in an empty environment that cannot see this checkout.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() {
    echo "release: $*"
}

say "building"
rm -rf dist
.venv/bin/python -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install --quiet build twine check-wheel-contents cyclonedx-bom pip-licenses
"$tools/python" -m build --outdir dist >"$work/build.log" || { cat "$work/build.log"; exit 1; }
"$tools/twine" check --strict dist/*
"$tools/check-wheel-contents" dist/*.whl

say "installing the wheel in an empty environment"
.venv/bin/python -m venv "$work/user"
user=$work/user/bin
"$user/pip" install --quiet "$root"/dist/*.whl
"$user/pip" check
"$tools/cyclonedx-py" environment --output-format JSON --output-file dist/sbom.cdx.json "$user/python"
"$tools/pip-licenses" --python="$user/python" --format=markdown --with-urls --output-file=dist/licences.md

cd "$work"
say "running a small demo"
"$user/pspgen" demo --out demo --samples 400 --reference 2 --epochs 2 --verify 20
test -s demo/report.html

say "running the lines of the README"
sed -n '/^```python/,/^```/{/^```/!p}' "$root/README.md" >readme.py
"$user/python" readme.py

say "dist/ holds"
ls "$root/dist"
