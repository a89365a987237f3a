# SPDX-License-Identifier: Apache-2.0
# Everything a person types; `make` alone lists it. All real work is meson's.
B ?= build
SECONDS ?= 30
DEMO = MERIDIAN_BUILD=$(abspath $(B)) examples/three-regions/demo
ASAN = -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false
TSAN = -Dwerror=true -Db_sanitize=thread -Db_lundef=false
FUZZ = -Dwerror=true -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
.PHONY: help deps build deb image test test-image test-asan test-tsan kills test-clients test-runbooks test-upgrade chaos soak coverage analyse analyse-changed measure fuzz demo demo-up demo-down fmt install clean
help:
	@echo 'make deps       install the packages that are missing (Debian; tools/packages.txt)'
	@echo 'make build      build into $(B)/ (B=DIR: elsewhere; SETUP=…: meson options of the first time)'
	@echo 'make demo       three regions on this machine: the main job, step by step, and a summary'
	@echo 'make demo-up    the same regions, left running; make demo-down stops them'
	@echo 'make test       all tests; ends with "N passed, N failed"'
	@echo 'make test-asan  all tests under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make test-tsan  the threaded unit tests under ThreadSanitizer'
	@echo 'make test-upgrade   of make test: fleets of two releases, the versions before this one built from the history'
	@echo 'make test-image     packages and image as they are for others, made and run; needs root and a Debian mirror'
	@echo 'make test-runbooks  every page of docs/runbooks, those too that wait for minutes'
	@echo 'make test-clients  what people push and pull with, at length (skopeo, podman, buildah, ctr, curl; docker: make test)'
	@echo 'make kills      kill -9 at KILLS=1000 random points of pushes, deletions and collection, each judged'
	@echo 'make chaos      five regions under a nemesis for SECONDS=300, judged (SEED=N: that plan; KINDS=kill,cut-pair: only these)'
	@echo 'make soak       three regions under 64 clients for SECONDS=1800, with deletion and collection, judged (SEED=N, CLIENTS=N)'
	@echo 'make coverage   branches of the wire reader and the answer builder that no test takes, with clang'
	@echo 'make analyse    clang-tidy with the checks of .clang-tidy; ends with "N passed, N failed"'
	@echo 'make analyse-changed  the same, only files that may differ from a commit that was clean as a whole (tools/analyse)'
	@echo 'make measure    how dense each room is, and which room is linked to which (tools/measure)'
	@echo 'make fuzz       every fuzz target for SECONDS=$(SECONDS) seconds, with clang (0: its corpus only)'
	@echo 'make fmt        clang-format over all C files'
	@echo 'make deb        Debian packages into $(B)/deb, built with Debian'"'"'s flags (docs/install.md)'
	@echo 'make image      an OCI image of these packages, as root (docs/install.md, In a container)'
	@echo 'make install    meson install (DESTDIR=DIR)'
	@echo 'make clean      remove what was built'
deps:
	@tools/install-deps
build:
	@[ -f $(B)/build.ninja ] || meson setup $(B) $(SETUP)
	@ninja -C $(B)
test: deps build
	@tools/release-before $(B)/release-before
	@tools/run-tests $(B)
test-asan: deps
	@tools/release-before $(B)/release-before
	@$(MAKE) --no-print-directory B=$(B)-asan SETUP='$(ASAN)' build
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 MERIDIAN_RELEASES=$(abspath $(B))/release-before tools/run-tests $(B)-asan -t 4
# Only what these tests need is built, by meson test itself.
test-tsan: deps
	@[ -f $(B)-tsan/build.ninja ] || meson setup $(B)-tsan $(TSAN)
	@ninja -C $(B)-tsan build.ninja
	@TSAN_OPTIONS=halt_on_error=1:suppressions=$(CURDIR)/tests/support/tsan.supp tools/run-tests $(B)-tsan \
		--only '^unit (base/(snapshot|log)|net/|store/|content/|control/|auth/|certs/|health/|fleet/|lifecycle/operations|resolver/(cookies|dot|edges|forward|geo|hotpath|journal|zone_maintainer|metrics|pending_query|resign|server|sign|transfer|turns)|replication/|registry/uploads|daemon/(task_runner|scrub))' -t 4
test-upgrade: deps build
	@tools/release-before $(B)/release-before
	@tools/run-tests $(B) --only '^system (builds|upgrade|mixed)$$'
test-image: deps build
	@tools/test-image $(B)
test-runbooks: deps build
	@MERIDIAN_SLOW_RUNBOOKS=1 tools/run-tests $(B) --only '^system runbooks$$'
test-clients: deps build
	@MERIDIAN_CLIENTS=1 tools/run-tests $(B) --only '^system clients$$'
KILLS ?= 1000
kills: deps build
	@KILLS=$(KILLS) CK_TIMEOUT_MULTIPLIER=100 $(B)/tests/unit/store/test_store_kills
chaos: SECONDS = 300
chaos: deps build
	@MERIDIAN_BUILD=$(abspath $(B)) CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) CHAOS_KINDS=$(KINDS) python3 tests/system/test_chaos.py
soak: SECONDS = 1800
soak: deps build
	@MERIDIAN_BUILD=$(abspath $(B)) SOAK_SEED=$(SEED) SOAK_SECONDS=$(SECONDS) SOAK_CLIENTS=$(CLIENTS) python3 tests/system/test_soak.py
coverage: deps
	@tools/coverage $(B)-coverage
analyse: deps build
	@tools/analyse $(B)
analyse-changed: deps build
	@tools/analyse $(B) --changed
measure: deps build
	@tools/measure --build $(B)
fuzz: deps
	@[ -f $(B)-fuzz/build.ninja ] || CC=clang meson setup $(B)-fuzz $(FUZZ)
	@tools/run-fuzz $(B)-fuzz $(SECONDS)
demo: deps build
	@$(DEMO) run
demo-up: deps build
	@$(DEMO) up
demo-down:
	@$(DEMO) down
fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
deb: deps
	@tools/build-deb $(B)/deb
image: deb
	@tools/build-image $(B)/deb --archive $(B)/image/meridian-registry.tar
install: build
	@meson install -C $(B) --no-rebuild
clean:
	@rm -rf $(B) $(B)-asan $(B)-tsan $(B)-fuzz $(B)-coverage
