# Every image of the platform. `make images` builds them, from the files of a commit:
#   service (ARG SERVICE: auth, org, audit, worker or gateway), tools, database, deployer, example
# What a stage copies last changes most often; the revision comes after all of it, so that it costs no layer.
ARG SERVICE=gateway

# -- The production dependencies, exactly as locked -----------------------------------------------------------------
FROM node:24-trixie-slim AS manifests
RUN --mount=type=bind,target=/source node /source/deploy/manifests.ts /source /manifests

FROM node:24-trixie-slim AS dependencies
WORKDIR /app
COPY --from=manifests /manifests ./
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
      -w packages/contracts -w packages/kit -w services/auth -w services/org -w services/audit -w services/worker \
      -w gateway -w examples/upstream
# Types, sources, maps and manuals are for people who write against a package. Licences stay.
RUN find node_modules -type f \
      \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.test.js' \
         -o -iname 'readme*' -o -iname 'changelog*' \) -delete \
    && rm -rf node_modules/.package-lock.json node_modules/.bin

# -- Node alone: no package manager, no way to another user ---------------------------------------------------------
FROM node:24-trixie-slim AS runtime
RUN rm -rf /usr/local/lib/node_modules /opt/yarn* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/yarn /usr/local/bin/yarnpkg /usr/local/bin/corepack \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
ENV NODE_ENV=production TZ=UTC NODE_COMPILE_CACHE=/app/.compile-cache
WORKDIR /app
STOPSIGNAL SIGTERM
COPY --from=dependencies /app/node_modules node_modules

FROM runtime AS platform
COPY deploy/health.sh deploy/
COPY packages/contracts packages/contracts
COPY packages/kit packages/kit
COPY package.json ./

# -- One stage a process, its code compiled beforehand ----------------------------------------------------------------
FROM platform AS auth
COPY services/auth services/auth
RUN --mount=type=bind,source=deploy/warm.sh,target=/warm.sh \
    sh /warm.sh node --max-semi-space-size=4 --import ./packages/kit/src/instrument.ts services/auth/src/main.ts
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "deploy/health.sh", "AUTH_OPS_PORT"]
CMD ["node", "--max-semi-space-size=4", "--import", "./packages/kit/src/instrument.ts", "services/auth/src/main.ts"]

FROM platform AS org
COPY services/org services/org
RUN --mount=type=bind,source=deploy/warm.sh,target=/warm.sh \
    sh /warm.sh node --max-semi-space-size=4 --import ./packages/kit/src/instrument.ts services/org/src/main.ts
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "deploy/health.sh", "ORG_OPS_PORT"]
CMD ["node", "--max-semi-space-size=4", "--import", "./packages/kit/src/instrument.ts", "services/org/src/main.ts"]

FROM platform AS audit
COPY services/audit services/audit
RUN --mount=type=bind,source=deploy/warm.sh,target=/warm.sh \
    sh /warm.sh node --max-semi-space-size=4 --import ./packages/kit/src/instrument.ts services/audit/src/main.ts
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "deploy/health.sh", "AUDIT_OPS_PORT"]
CMD ["node", "--max-semi-space-size=4", "--import", "./packages/kit/src/instrument.ts", "services/audit/src/main.ts"]

FROM platform AS worker
COPY services/worker services/worker
RUN --mount=type=bind,source=deploy/warm.sh,target=/warm.sh \
    sh /warm.sh node --max-semi-space-size=4 --import ./packages/kit/src/instrument.ts services/worker/src/main.ts
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "deploy/health.sh", "WORKER_OPS_PORT"]
CMD ["node", "--max-semi-space-size=4", "--import", "./packages/kit/src/instrument.ts", "services/worker/src/main.ts"]

# The gateway's young generation keeps its size: with a small one it serves a sixth less.
FROM platform AS gateway
COPY docs/openapi.json docs/
COPY gateway gateway
RUN --mount=type=bind,source=deploy/warm.sh,target=/warm.sh \
    sh /warm.sh node --import ./packages/kit/src/instrument.ts gateway/src/main.ts
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "deploy/health.sh", "GATEWAY_OPS_PORT"]
CMD ["node", "--import", "./packages/kit/src/instrument.ts", "gateway/src/main.ts"]

FROM ${SERVICE} AS service
ARG SERVICE VERSION REVISION
ENV GATEHOUSE_REVISION=$REVISION
LABEL org.opencontainers.image.title="gatehouse/$SERVICE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# -- The deployer's one-shot jobs: migrations, checks, nginx's configuration ------------------------------------------
FROM platform AS tools
COPY services services
COPY gateway gateway
COPY docs/openapi.json docs/
COPY nginx nginx
COPY deploy/src deploy/src
COPY deploy/jobs deploy/jobs
USER 10001:10001
ENTRYPOINT ["node"]
CMD ["deploy/jobs/migrate.ts", "status"]
ARG VERSION REVISION
ENV GATEHOUSE_REVISION=$REVISION
LABEL org.opencontainers.image.title="gatehouse/tools" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# -- An application behind the gateway, to try things with ------------------------------------------------------------
FROM runtime AS example
COPY package.json ./
COPY examples/upstream examples/upstream
USER 10001:10001
ENV HOST=0.0.0.0 PORT=4010
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT"]
CMD ["node", "examples/upstream/src/main.ts"]
ARG VERSION REVISION
ENV GATEHOUSE_REVISION=$REVISION
LABEL org.opencontainers.image.title="gatehouse/example" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# -- Postgres that can back itself up. Its tag is a hash of this stage and of deploy/database, so that a release which
# changes neither leaves the database running. ------------------------------------------------------------------------
FROM postgres:17 AS database
RUN apt-get update \
    && apt-get install -y --no-install-recommends pgbackrest \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    # Not Debian's configuration, nor its key, which is one of everybody's. A volume takes the owner of what it covers.
    && rm -f /etc/pgbackrest.conf /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem \
    && install -d -o 999 -g 999 -m 0750 /var/lib/pgbackrest /var/log/pgbackrest /var/spool/pgbackrest /backups
COPY deploy/database /opt/gatehouse/database
COPY deploy/database/postgres/init /docker-entrypoint-initdb.d
# Our pgbackrest, which knows its secrets, comes before Debian's. The cluster lies in a folder of its volume, so that a
# restore can move it aside.
ENV PATH=/opt/gatehouse/database/bin:$PATH PGDATA=/var/lib/postgresql/data/pgdata
USER 999:999
ARG VERSION REVISION
LABEL org.opencontainers.image.title="gatehouse/database" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"

# -- The deployer itself, for hosts without a fitting Node. It speaks to the engine's socket and hands secrets to the
# users of other containers, so it is root; the checkout it works in is mounted.
# The last stage, and it copies nothing: deploy/in-container.sh builds it from this text alone. ------------------------
FROM node:24-trixie-slim AS deployer
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates docker-cli docker-buildx docker-compose git openssl \
    && rm -rf /usr/share/locale /usr/share/man /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    # Whoever may run this container may read the checkout; git would refuse it for belonging to someone else.
    && git config --system safe.directory '*'
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "deploy/main.ts"]
ARG VERSION REVISION
LABEL org.opencontainers.image.title="gatehouse/deployer" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
