# Two commands to remember: make image, make test. Each sets up all that it needs.
#
# Variables reach the recipes through the environment, never by being pasted into a shell line: paths may hold blanks.

PROFILE ?= clasificado
FORJA ?= .venv/bin/forja
SETUP ?= builder/host/set-up.sh
export PROFILE ISO UPDATES SITE FIRMWARE BUILD TRIM CLOSED LOCKED SIGNATURES RUNS LOOK FLEET KEY SPLIT OUTPUT NEEDS

.DEFAULT_GOAL := help
.PHONY: help image test test-without-machines test-machines test-mail test-units check lint doctor bench bundle setup clean \
	distclean

# make itself ends with 2 whatever failed: the exit code that means something is printed.
run = $(FORJA) $(1) || { code=$$?; \
	echo "forja ended with exit code $$code (docs/reference/exit-codes.md says what it means)" >&2; exit $$code; }
image_options = $${ISO:+--iso "$$ISO"} $${UPDATES:+--updates "$$UPDATES"} $${SITE:+--site "$$SITE"} \
	$${FIRMWARE:+--firmware "$$FIRMWARE"} $${BUILD:+--build "$$BUILD"} $${LOCKED:+--locked "$$LOCKED"} \
	$${SIGNATURES:+--signatures "$$SIGNATURES"} $${TRIM:+--trim} $${CLOSED:+--closed}

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables of make image: PROFILE=clasificado ISO=/path/rhel-8.3-x86_64-dvd.iso UPDATES=folder SITE=site.toml'
	@echo '                         FIRMWARE=bios|uefi BUILD=folder LOCKED=packages.lock SIGNATURES=folder TRIM=1 CLOSED=1'
	@echo 'Without ISO it builds a trial image: the laboratory.'

image: ## Build and verify a golden image
	@$(SETUP) image $(if $(ISO),,lab)
	@$(call run,image "$$PROFILE" $(image_options))

test: ## Check the code, then build and verify images with it
	@$(SETUP) image lab test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory --jobs=2 --keep-going test-without-machines test-machines

# Side by side: a machine without KVM waits for much, and what needs none does not wait for it. One of the two shows how
# far it is, the other its end.
test-without-machines:
	@said=$$(.venv/bin/pytest tests/unit tests/integration -m 'not slow' 2>&1); code=$$?; \
		printf '%s\n' "$$said"; exit $$code

test-machines:
	@.venv/bin/pytest tests/integration -m 'slow and not long'

test-mail: ## Test the built image with the mail that takes long: crowds, big messages, power cuts
	@$(SETUP) image lab test
	@.venv/bin/pytest tests/integration -m long

check: ## Check the code in under a minute: style, types, shell, Packer, unit tests
	@$(SETUP) image lab test
	@$(MAKE) --no-print-directory --jobs=2 test-units lint

test-units:
	@.venv/bin/pytest tests/unit --numprocesses=2 --dist=loadfile

lint:
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy
	@said=$$(.venv/bin/pytest --collect-only -q tests/integration 2>&1) || { printf '%s\n' "$$said"; exit 1; }
	@find .ci builder overlays tests -type f \( -name '*.sh' -o ! -name '*.*' \) -exec awk \
		'FNR == 1 && (FILENAME ~ /\.sh$$/ || /^#!.*[\/ ](ba|da)?sh( |$$)/) { print FILENAME }' {} + \
		| xargs shellcheck --exclude=SC1091
	@packer fmt -check packer && packer validate -syntax-only packer

doctor: ## Say what this host has and lacks, each with its remedy (installs nothing)
	@python=$$($(SETUP) --python) && "$$python" -m builder.doctor $${BUILD:+"$$BUILD"}

bench: ## Measure speed and memory on a DVD of 8 GiB; IMAGE=yes, LOOK=folder, FLEET=yes: of a build, an image, a fleet
	@$(SETUP) image lab test
	@.venv/bin/python -m tests.bench $${RUNS:+--runs "$$RUNS"} $${LOOK:+--look "$$LOOK"} $${FLEET:+--fleet} \
		$(if $(IMAGE),--image "$$PROFILE" $(image_options))

bundle: ## Pack all that a host without a network needs: KEY=fingerprint (or UNSIGNED=1) SPLIT=4000M OUTPUT=folder
	@$(SETUP) image $(filter lab,$(or $(NEEDS),lab))
	@$(call run,bundle $${KEY:+--key "$$KEY"} $(if $(UNSIGNED),--unsigned) $${SPLIT:+--split "$$SPLIT"} \
		$${OUTPUT:+--output "$$OUTPUT"} $${NEEDS:+--needs $$NEEDS})

setup: ## Install the system packages and the virtual environment that all of this needs
	@$(SETUP) image lab test

clean: ## Remove what was built (the cached laboratory DVD stays)
	rm -rf build .mypy_cache .ruff_cache .pytest_cache

distclean: clean ## Remove the cache and the virtual environment too
	rm -rf .cache .venv
