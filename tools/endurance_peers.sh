#!/usr/bin/env bash
# Installs what tests/endurance alone needs, on Debian: hosts in namespaces, and PostgreSQL by Patroni behind HAProxy.
set -euo pipefail

sudo=()
((EUID == 0)) || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  iproute2 iptables util-linux patroni python3-etcd etcd-server haproxy redis-server postgresql
# Debian starts the servers it installs; the tests start their own, in their own namespaces and folders.
if [[ -d /run/systemd/system ]]; then
  "${sudo[@]}" systemctl disable --now haproxy etcd patroni
fi
