#!/bin/sh
# Pins what goes into the images, with hashes, for every Python from 3.11 on. Run it after a change of pyproject.toml,
# or to take newer versions (--upgrade). Needs uv: pip install uv.
set -eu
cd "$(dirname "$0")"

lock() {
  output=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --output-file "$output" "$@"
}

lock notebook.lock --extra notebook --extra examples ../pyproject.toml notebook.in "$@"
lock torch-cpu.lock --constraint notebook.lock torch-cpu.in "$@"
lock torch-cuda.lock --constraint notebook.lock torch-cuda.in "$@"
