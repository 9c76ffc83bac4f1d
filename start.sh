#!/bin/sh
# `npm start -- FLAGS`: installs what is missing, saying so, then becomes the server (exec: signals reach it).
set -eu
cd "$(dirname "$0")"

say() { echo "proa: $*" >&2; }

if [ ! -x node_modules/.bin/node ] || [ ! -d node_modules/ws ]; then
  say "installing npm packages (once)"
  npm ci --no-audit --no-fund --loglevel=error >&2 || { say "npm ci failed; see above"; exit 1; }
fi
if ! node_modules/.bin/node -e '' 2>/dev/null; then
  say "node_modules holds no Node 24; its package installs itself by a script: run npm ci without --ignore-scripts"
  exit 1
fi

needs_engine=yes
previous=''
for flag in "$@"; do
  case "$flag" in
    --runtime=hollow | --help | -h) needs_engine=no ;;
    hollow) [ "$previous" = --runtime ] && needs_engine=no ;;
  esac
  previous=$flag
done

if [ "$needs_engine" = yes ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  missing=''
  command -v dockerd >/dev/null || [ -S /var/run/docker.sock ] || missing="$missing docker.io"
  command -v iptables >/dev/null || missing="$missing iptables"
  command -v ip >/dev/null || missing="$missing iproute2"
  command -v conntrack >/dev/null || missing="$missing conntrack"
  if [ -n "$missing" ]; then
    say "installing Debian packages:$missing"
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 || { say "apt-get install failed; see above"; exit 1; }
  fi
fi

# A small young generation costs no time here and saves a third of the memory under load.
exec node_modules/.bin/node --max-semi-space-size=8 cluster/proa.js server "$@"
