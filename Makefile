# SPDX-License-Identifier: Apache-2.0
B ?= build
.PHONY: help deps build test test-asan test-tsan fmt install clean
help:
	@echo 'make deps | build | test | test-asan | test-tsan | fmt | install | clean   (B=DIR: build folder)'
deps:
	@tools/install-deps
build:
	@[ -f $(B)/build.ninja ] || meson setup $(B) $(SETUP)
	@ninja -C $(B)
test: deps build
	@tools/run-tests $(B)
test-asan: deps
	@$(MAKE) --no-print-directory B=$(B)-asan SETUP='-Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false' build
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 tools/run-tests $(B)-asan -t 4
test-tsan: deps
	@$(MAKE) --no-print-directory B=$(B)-tsan SETUP='-Dwerror=true -Db_sanitize=thread -Db_lundef=false' build
	@CK_FORK=no TSAN_OPTIONS=halt_on_error=1 tools/run-tests $(B)-tsan -t 4 --suite unit
fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
install: build
	@meson install -C $(B)
clean:
	@rm -rf $(B) $(B)-asan $(B)-tsan
