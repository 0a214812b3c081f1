# `make` prints the commands. Everything runs on Node 24 from node_modules; the machine's own Node only installs it.
SHELL := /bin/sh
NODE := node_modules/.bin/node
JEST := $(NODE) --experimental-vm-modules node_modules/jest/bin/jest.js
INSTALLED := node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help up demo test check e2e test-faults bench migrate migrate-status audit-verify import-users rotate-signing-keys openapi install

help: ## Print the commands
	@echo 'Gatehouse'; echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

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

bench: install ## Measure the speed goals, as ratios
	@exec $(NODE) bench/main.ts

migrate: install ## Apply pending migrations to the running platform's database
	@exec $(NODE) dev/migrate.ts apply

migrate-status: install ## List applied and pending migrations
	@exec $(NODE) dev/migrate.ts status

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
