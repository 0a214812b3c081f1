#!/bin/sh
# The door to the deployer: on this machine's Node where it can run TypeScript (22.18 or newer), else in a container.
set -eu
cd "$(dirname "$0")/.."
# The project's own Node serves where it is installed; a host needs neither npm nor node_modules.
for node in node node_modules/.bin/node; do
  if "$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 18) ? 0 : 1)' 2>/dev/null; then
    exec "$node" --disable-warning=ExperimentalWarning deploy/main.ts "$@"
  fi
done
exec sh deploy/in-container.sh "$@"
