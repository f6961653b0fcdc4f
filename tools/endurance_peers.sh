#!/usr/bin/env bash
# Installs what tests/endurance alone needs, on Debian: hosts in namespaces, PostgreSQL by Patroni behind HAProxy, and
# OpenStack Swift with its API of S3.
set -euo pipefail

sudo=()
((EUID == 0)) || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  iproute2 iptables util-linux patroni python3-etcd etcd-server haproxy redis-server postgresql \
  swift-proxy swift-account swift-container swift-object
# Debian starts the servers it installs; the tests start their own, in their own namespaces and folders.
if [[ -d /run/systemd/system ]]; then
  mapfile -t swift < <(systemctl list-unit-files --state=enabled --plain --no-legend 'swift-*.service' | cut -d ' ' -f 1)
  "${sudo[@]}" systemctl disable --now haproxy etcd patroni "${swift[@]}"
fi
