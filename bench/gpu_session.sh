#!/usr/bin/env bash
# A session on a GPU that is lent for minutes: is it right, and how fast? What matters most comes first. Needs Python with torch and Triton, a C compiler, and no network.
#
#   bash bench/gpu_session.sh wheels     where there is a network: fetch the other packages it needs into bench/wheels (PYTHON=3.12 by default)
#   bash bench/gpu_session.sh            on the device: everything, in BUDGET=560 seconds, small files into OUT=gpu_results
#   STAGES="kernels table" BUDGET=100 bash bench/gpu_session.sh      again, with what is left of the time
#   STAGES="tiles table" bash bench/gpu_session.sh      other ways to cut up the work of a kernel than the chosen one
#   RECORDINGS="a.h5 b.h5" STAGES="whole table" bash bench/gpu_session.sh      whole commands on recordings too
#   bash bench/gpu_session.sh --dry      on a CPU: goes every way with tiny sizes, Triton interpreted; its numbers mean nothing
#
# Nothing is installed: packages run from source, wheels are unpacked, entry points are written beside them.
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PY=${PY:-$([ -x "$ROOT/.venv/bin/python" ] && echo "$ROOT/.venv/bin/python" || echo python3)}
NEEDS="attrs cattrs click h5py jaxtyping numpy packaging pluggy pyyaml rich hypothesis pytest pytest-timeout pytest-xdist"

if [ "${1:-}" = wheels ]; then
    platforms=(); for n in 34 28 27 17; do platforms+=(--platform "manylinux_2_${n}_x86_64"); done
    # shellcheck disable=SC2086
    exec "$PY" -m pip download --quiet --only-binary=:all: --implementation cp --python-version "${PYTHON:-3.12}" "${platforms[@]}" \
        --platform manylinux2014_x86_64 --constraint "$ROOT/constraints.txt" --dest "$ROOT/bench/wheels" $NEEDS
fi
dry=(); [ "${1:-}" = --dry ] && dry=(--dry)
BUDGET=${BUDGET:-560} STAGES=${STAGES:-"info right agree tests steps population quality whole kernels inference trace table"}
OUT=${OUT:-$ROOT/gpu_results}
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
exec > >(tee -a "$OUT/log.txt") 2>&1
WORK=$(mktemp -d) && trap 'rm -rf "$WORK"' EXIT
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LFADS_SHAPE_CHECKS=0 CUBLAS_WORKSPACE_CONFIG=:4096:8
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$WORK/triton} XDG_CACHE_HOME=$WORK/cache
if [ ${#dry[@]} -gt 0 ]; then export TRITON_INTERPRET=1 OMP_NUM_THREADS=1; else export TRITON_INTERPRET=0; fi

# Packages without installing them: wheels are unpacked, and metadata with entry points written from each pyproject.toml.
"$PY" - "$ROOT" "$WORK/site" <<'PYTHON' || exit 2
import pathlib, sys, tomllib, zipfile
root, site = map(pathlib.Path, sys.argv[1:])
site.mkdir()
ours = f"cp{sys.version_info[0]}{sys.version_info[1]}"
for wheel in sorted((root / "bench" / "wheels").glob("*.whl")):
    python, abi, _ = wheel.stem.split("-")[-3:]
    if "py3" in python.split(".") or python == ours or abi == "abi3":
        zipfile.ZipFile(wheel).extractall(site)
for file in sorted(root.glob("lfads_*/pyproject.toml")):
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in project.get("dependencies", []))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{needs}", encoding="utf-8")
    groups = {"console_scripts": project.get("scripts", {})} | project.get("entry-points", {})
    lines = (line for group, names in groups.items() if names for line in (f"[{group}]", *(f"{name} = {value}" for name, value in names.items())))
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
PYTHON
PYTHONPATH=$WORK/site
for source in "$ROOT"/lfads_*/src; do PYTHONPATH=$PYTHONPATH:$source; done
export PYTHONPATH
cd "$WORK" || exit 2
"$PY" - $NEEDS <<'PYTHON' || exit 2
import importlib.metadata as has, sys
def missing(name):
    try: has.version(name)
    except has.PackageNotFoundError: return True
lacks = [name for name in (*sys.argv[1:], "torch", "triton") if missing(name)]
if lacks:
    sys.exit(f"gpu_session: must have torch, Triton and the wheels, lacks {', '.join(lacks)}. Run: bash bench/gpu_session.sh wheels, where there is a network.")
PYTHON

has() { [[ " $STAGES " == *" $1 "* ]]; }
BEGAN=$SECONDS
left() { echo $((BUDGET - (SECONDS - BEGAN))); }
stage() { # its name, seconds at most, arguments: begins nothing that cannot end in time
    local name=$1 most=$2 have; shift 2; have=$(left)
    [ "$have" -lt 12 ] && { echo "-- $name: no time left"; return 0; }
    [ ${#dry[@]} -gt 0 ] && most=$have # a busy CPU may take as long as it likes
    [ "$most" -gt $((have - 5)) ] && most=$((have - 5))
    echo "-- $name ($most s at most, $have left)"
    timeout -k 5 "$most" "$PY" "$ROOT/bench/gpu/session.py" "$name" --out "${INTO:-$OUT}" --limit $((most * 4 / 5)) "${dry[@]}" "$@"
}
failed=
try() { has "$1" || return 0; stage "$@" || failed="$failed $1"; }

try info 60
if has right; then
    # Processes side by side: nearly all of it is compiling. Meanwhile others compile what is timed later; their numbers are not looked at.
    parts=$([ ${#dry[@]} -gt 0 ] && echo 1 || echo 8) pids=()
    for part in $(seq 0 $((parts - 1))); do OMP_NUM_THREADS=1 stage right 150 --part "$part" "$parts" & pids+=($!); done
    if [ ${#dry[@]} -eq 0 ]; then
        mkdir -p "$WORK/unused"
        for name in kernels population; do (INTO=$WORK/unused stage "$name" 150 >"$WORK/unused/$name.log" 2>&1; true) & pids+=($!); done
    fi
    for pid in "${pids[@]}"; do wait "$pid" || failed="$failed right"; done
fi
try agree 60
if has tiles; then # compiling first, in as many processes as there are cores; then one of them times
    if [ ${#dry[@]} -eq 0 ]; then
        pids=() parts=$(nproc)
        for part in $(seq 0 $((parts - 1))); do (INTO=$WORK OMP_NUM_THREADS=1 stage tiles 120 --part "$part" "$parts" >/dev/null 2>&1; true) & pids+=($!); done
        wait "${pids[@]}"
    fi
    stage tiles 60 || failed="$failed tiles"
fi
if has tests; then
    most=$(left); [ ${#dry[@]} -gt 0 ] || most=$((most > 330 ? 120 : most / 3))
    echo "-- tests ($most s at most)"
    only=(-m gpu -n 8); [ ${#dry[@]} -gt 0 ] && only=(-k "not_a_number_stays or no_race and 7" -n 0)
    (cd "$ROOT" && timeout -k 5 "$most" "$PY" -m pytest -q -p no:cacheprovider -W ignore "${only[@]}" \
        tests/core/test_recurrence_triton.py tests/core/test_recurrence_races.py tests/core/train/test_train_cuda_graph.py >"$OUT/tests.txt" 2>&1)
    code=$?
    tail -n 400 "$OUT/tests.txt" >"$WORK/tests.txt" && cp "$WORK/tests.txt" "$OUT/tests.txt"
    grep -E '^(FAILED|ERROR)' "$OUT/tests.txt" | head -40; tail -n 1 "$OUT/tests.txt"
    printf '{"exit status": %d, "last line": "%s"}\n' "$code" "$(tail -n 1 "$OUT/tests.txt" | tr -d '"\\')" >"$OUT/tests.json"
    [ "$code" -eq 0 ] || failed="$failed tests"
fi
try steps 110
try population 90
try quality 90
try whole 200
try kernels 60
try inference 40
try trace 40
if has table; then "$PY" "$ROOT/bench/gpu/session.py" table --out "$OUT" || failed="$failed table"; fi
ls -la "$OUT"
echo "-- $((SECONDS - BEGAN)) s; failed:${failed:- nothing}"
[ -z "$failed" ]
