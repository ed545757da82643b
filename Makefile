# `make` builds build/release/bin/lotse; `make help` lists the rest.
# CXX is clang-19 because its vector code is the fastest measured (docs/design.md); g++-12 works too.

BUILD := build/release
PREFIX ?= /usr/local
LISTS := tools/packages
CLANG := -G Ninja -DCMAKE_CXX_COMPILER=clang++-19
UNITY ?= ON
CMAKE_FLAGS := $(CLANG) -DCMAKE_BUILD_TYPE=Release -DLOTSE_UNITY=$(UNITY)
SANITIZED := $(CLANG) -DCMAKE_BUILD_TYPE=Sanitized -DCMAKE_CXX_FLAGS_SANITIZED='-O1 -g1' \
  -DLOTSE_SANITIZE=address,undefined
SOURCES = $(shell git ls-files '*.cc' '*.h' '*.inc')

# The folders whose code reads files that others made.
PARSERS := base tensor checkpoint tokenizer chat_template chip model source grammar

# Clones and worktrees share compiled objects.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
export CCACHE_SLOPPINESS := pch_defines,time_macros,include_file_mtime,include_file_ctime

.DEFAULT_GOAL := build
.PHONY: help build deps demo test check-format format check-includes sanitize \
  check-all check-gcc check-tidy fuzz package install clean

help:
	@echo 'make                 build $(BUILD)/bin/lotse'
	@echo 'make deps            install the Debian packages that the build needs'
	@echo 'make demo            deps, build, then inspect, port, verify and ask the bundled model'
	@echo 'make test            install what tests need, build and run them'
	@echo 'make check-includes  each folder includes only what stands above it'
	@echo 'make check-format    clang-format; `make format` applies it'
	@echo 'make sanitize        tests of the parsers under ASan and UBSan'
	@echo 'make check-all       all of these, a g++ build, clang-tidy and the fuzzers'
	@echo 'make package         a .deb in build/package'
	@echo 'make install PREFIX= install under PREFIX (default /usr/local)'
	@echo 'make clean           remove build/'

build:
	@tools/deps.sh check $(LISTS)/build.txt
	@test -f $(BUILD)/build.ninja || cmake -S . -B $(BUILD) $(CMAKE_FLAGS)
	@cmake --build $(BUILD) --target lotse

deps:
	@tools/deps.sh install $(LISTS)/build.txt

demo: deps
	@$(MAKE) --no-print-directory build
	@tools/demo.sh $(BUILD)/bin/lotse

test:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/test.txt
	cmake -S . -B $(BUILD) $(CMAKE_FLAGS) -DLOTSE_TESTS=ON
	cmake --build $(BUILD)
	@tools/run_tests.sh $(BUILD)

check-format:
	@clang-format-19 --dry-run -Werror $(SOURCES)
	@echo 'format check: $(words $(SOURCES)) files, none to change'

format:
	clang-format-19 -i $(SOURCES)

check-includes:
	@tools/check_includes.py

sanitize:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/test.txt
	cmake -S . -B build/sanitize $(SANITIZED) -DLOTSE_TESTS=ON
	cmake --build build/sanitize --target $(PARSERS:%=%_test)
	@tools/run_tests.sh build/sanitize $(PARSERS)

check-all: test check-includes check-format sanitize check-gcc check-tidy fuzz

check-gcc:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/test.txt $(LISTS)/check.txt
	cmake -S . -B build/gcc -G Ninja -DCMAKE_CXX_COMPILER=g++-12 -DLOTSE_TESTS=ON
	cmake --build build/gcc
	@tools/run_tests.sh build/gcc

check-tidy:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/test.txt $(LISTS)/check.txt
	cmake -S . -B build/tidy $(CLANG) -DCMAKE_BUILD_TYPE=Release -DLOTSE_TESTS=ON
	cmake --build build/tidy
	run-clang-tidy-19 -quiet -p build/tidy '$(CURDIR)/src/.*\.cc$$'

fuzz:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/test.txt
	cmake -S . -B build/fuzz $(SANITIZED) -DLOTSE_FUZZ=ON
	cmake --build build/fuzz --target fuzzers
	@tools/run_fuzzers.sh build/fuzz

package:
	@tools/deps.sh install $(LISTS)/build.txt $(LISTS)/package.txt
	@$(MAKE) --no-print-directory build
	@cmake --build $(BUILD) --target lotse_package
	cpack --config $(BUILD)/CPackConfig.cmake -G DEB -B build/package

install: build
	@cmake --build $(BUILD) --target lotse_package
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build
