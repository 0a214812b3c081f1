#!/bin/sh
# The deployer in a container, for a host whose Node cannot run it. The image holds Node, git and the engine's client;
# the program is that of this checkout, so the image is built anew only when its own stage of the Dockerfile changes.
set -eu
cd "$(dirname "$0")/.."
checkout=$(pwd -P)
if [ -z "${ENV:-}" ] && [ "${1:-}" != images ]; then
  echo 'Name the environment: ENV=production, ENV=staging or ENV=development' >&2
  exit 2
fi
command -v docker >/dev/null || { echo 'Docker is missing: https://docs.docker.com/engine/install/' >&2; exit 10; }

stage=$(sed -n '/ AS deployer$/,$p' Dockerfile)
image=gatehouse/deployer:stage-$(printf '%s' "$stage" | sha256sum | cut -c 1-12)
if ! docker image inspect "$image" >/dev/null 2>&1; then
  echo "This host has no Node 22.18 or newer; building $image to run the deployer in." >&2
  log=$(mktemp)
  # The stage takes no file of the checkout, so nothing is sent to the engine but its text.
  printf '%s\n' "$stage" | DOCKER_BUILDKIT=1 docker build --progress=plain -t "$image" - >"$log" 2>&1 ||
    { tail -n 25 "$log" >&2; echo "The image of the deployer does not build. All of it: $log" >&2; exit 30; }
  rm -f "$log"
fi

STATE_DIR=${STATE_DIR:-/var/lib/gatehouse/${ENV:-production}}
case $STATE_DIR in /*) ;; *) STATE_DIR=$checkout/$STATE_DIR ;; esac
export STATE_DIR
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
case $socket in unix://*) socket=${socket#unix://} ;; *) echo "DOCKER_HOST is $socket; the deployer needs the engine of this host, by its socket" >&2; exit 2 ;; esac

# Paths are the same inside as outside, since the engine resolves what Compose mounts. The host's network and processes
# are seen as they are: for ports, gateways' addresses, and whether the holder of a lock still lives.
set -- --rm --network host --pid host -v "$socket:/var/run/docker.sock" -v "$checkout:$checkout" -w "$checkout" \
  -v "$STATE_DIR:$STATE_DIR" "$image" "$@"
# Files of the deployer's own: the recovery key, a sealed copy, what `make secrets` takes over.
if [ -f "${FROM:-}" ]; then
  FROM=$(realpath "$FROM")
  export FROM
  set -- -v "$FROM:$FROM:ro" "$@"
fi
for name in RECOVERY_KEY SMTP_PASSWORD SENDGRID_API_KEY SENTRY_DSN SENTRY_AUTH_TOKEN ALERT_WEBHOOK_URL \
  DEPLOY_WEBHOOK_URL BACKUP_S3_KEY BACKUP_S3_KEY_SECRET; do
  eval "file=\${${name}_FILE:-}"
  if [ -n "$file" ]; then
    file=$(realpath "$file")
    set -- -v "$file:$file:ro" -e "${name}_FILE=$file" "$@"
  fi
done
for name in ENV TO FROM AT S CONFIRM PLAN FORCE LOCK_WAIT DRY_RUN REVISION JSON STATE_DIR PROJECT CONTRACT RECREATE \
  SELF_SIGNED CONTAINER_INIT DISK_MIN_GB \
  USER SUDO_USER CI TERM NO_COLOR; do
  # Without a value, docker takes it from here: nothing of it shows in a list of processes.
  set -- -e "$name" "$@"
done
if [ -t 0 ] && [ -t 1 ]; then set -- -it "$@"; elif ! [ -t 0 ]; then set -- -i "$@"; fi
exec docker run "$@"
