# `make` prints the commands. Everything runs on Node 24 from node_modules; the machine's own Node only installs it.
SHELL := /bin/sh
NODE := node_modules/.bin/node
JEST := $(NODE) --experimental-vm-modules node_modules/jest/bin/jest.js
INSTALLED := node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help up demo test check e2e test-faults test-deploy test-deploy-all bench audit-verify import-users rotate-signing-keys openapi install
.PHONY: images images-scan secrets restore-secrets configure deploy deploy-plan status releases rollback restart logs backup backups restore restore-drill
.PHONY: migrate migrate-status schema-verify schema-baseline maintenance-on maintenance-off renew-certificate unlock doctor

help: ## Print the commands
	@echo 'Gatehouse'; echo
	@sed -n -e 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' -e 's/^# -- \([^.]*\)\..*/\n\1 (ENV=production, staging or development)/p' Makefile | expand -t 28

up: install ## Run the whole platform on this machine; Ctrl-C stops it
	@exec $(NODE) dev/up.ts

demo: install ## Show the main job, step by step, against the running platform; STORY=identity an account's
	@exec $(NODE) e2e/demo.ts

test: install ## Run the tests (on a Postgres and a Redis of their own); FILES=path narrows them
	@exec $(JEST) $(FILES)

check: install ## Types, lint, format, import direction, generated documents
	@node_modules/.bin/tsc
	@node_modules/.bin/biome check --error-on-warnings .
	@$(NODE) docs/generate.ts --check

e2e: install ## Run the end-to-end tests, through nginx
	@SUITE=e2e exec $(JEST) --runInBand

test-faults: install ## Kill processes and lose dependencies under load, and compare with a ledger
	@SUITE=fault exec $(JEST) --runInBand

test-deploy: install ## Deploy for real, with Docker: first install, release under load, bad release, rollback, restore
	@SUITE=deploy exec $(JEST) --runInBand $(FILES)

test-deploy-all: install ## All of it: every way a deploy can fail or be killed, and every dependency lost
	@SUITE=deploy-all exec $(JEST) --runInBand $(FILES)

bench: install ## Measure the speed goals, as ratios
	@exec $(NODE) bench/main.ts

audit-verify: install ## Recompute the chain of the audit log
	@exec $(NODE) dev/audit-verify.ts

import-users: install ## Import users from FILE=users.ndjson, with the hashes of another system; resumes where it was killed
	@FILE='$(FILE)' ANEW='$(ANEW)' exec $(NODE) dev/import-users.ts

rotate-signing-keys: install ## Sign access tokens with the next key from now on; FORCE=1 also right after a rotation
	@FORCE='$(FORCE)' exec $(NODE) dev/rotate-signing-keys.ts

openapi: install ## Generate docs/openapi.json, permissions.md and settings.md from the code
	@exec $(NODE) docs/generate.ts

install: ## Install the dependencies when the lock file changed
	@hash=$$(cksum <package-lock.json) && \
	if [ "$$hash" != "$$(cat $(INSTALLED) 2>/dev/null)" ] || [ ! -x $(NODE) ]; then \
	  sh dev/install.sh && echo "$$hash" >$(INSTALLED); \
	fi

# -- Deployed with Docker, on this host. ENV=production, staging or development names which; JSON=1 writes for machines.
# What a command takes reaches it as environment variables.
DEPLOYER = @sh deploy/run.sh $@

images: ## Build every image of REVISION (default: HEAD)
	$(DEPLOYER)
images-scan: install ## Look for known vulnerabilities in the dependencies, and write the bill of materials (SBOM)
	@sh deploy/scan.sh
secrets: ## ENV=: make every secret that is missing, and say what you must still supply
	$(DEPLOYER)
restore-secrets: ## ENV= FROM=sealed copy: put the secrets back on a new host; asks for the recovery key
	$(DEPLOYER)
configure: ## ENV=: check the settings and write nginx's and Prometheus' configuration, for a start by hand
	$(DEPLOYER)
deploy: ## ENV=: deploy REVISION (default: HEAD) without a failed request, or leave everything as it was
	$(DEPLOYER)
deploy-plan: ## ENV=: say what `make deploy` would do
	$(DEPLOYER)
status: ## ENV=: what runs, how it is, which release
	$(DEPLOYER)
releases: ## ENV=: what was deployed when, and what `make rollback` can go back to
	$(DEPLOYER)
rollback: ## ENV= [TO=revision]: go back to the release before, or to TO
	$(DEPLOYER)
restart: ## ENV= [S=service]: restart the processes one by one, without a failed request
	$(DEPLOYER)
logs: ## ENV= [S=service]: follow the logs
	$(DEPLOYER)
backup: ## ENV=: back up now, and prove it by a restore
	$(DEPLOYER)
backups: ## ENV=: list the backups, and from when to when a restore can reach
	$(DEPLOYER)
restore: ## ENV= FROM=backup|latest [AT='2026-11-21 03:00:00+00'] CONFIRM=environment: replace the database
	$(DEPLOYER)
restore-drill: ## ENV=: restore into a scratch database, and measure how much and how long a disaster would cost
	$(DEPLOYER)
migrate: ## Apply pending migrations: with ENV= there, without it to the platform of `make up`
	@if [ -n "$(ENV)" ]; then sh deploy/run.sh $@; else $(MAKE) -s install && exec $(NODE) dev/migrate.ts apply; fi
migrate-status: ## List applied and pending migrations, there or here
	@if [ -n "$(ENV)" ]; then sh deploy/run.sh $@; else $(MAKE) -s install && exec $(NODE) dev/migrate.ts status; fi
schema-verify: ## ENV=: compare every table and column with what the migrations make
	$(DEPLOYER)
schema-baseline: ## ENV= [DRY_RUN=1]: record the migrations of a database that already has their tables
	$(DEPLOYER)
maintenance-on: ## ENV=: answer 503 to everyone
	$(DEPLOYER)
maintenance-off: ## ENV=: serve again
	$(DEPLOYER)
renew-certificate: ## ENV=: have nginx read the certificate anew, without a failed request
	$(DEPLOYER)
unlock: ## ENV= CONFIRM=environment: take away the lock of a deploy that is gone
	$(DEPLOYER)
doctor: ## ENV=: look for what is wrong, and say what to do
	$(DEPLOYER)
