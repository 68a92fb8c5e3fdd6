# Concerto. `make run` and `make test` do all the set-up; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := all

CC      ?= gcc
BUILD   ?= build
BIN     ?= $(if $(filter build,$(BUILD)),concerto,$(BUILD)/concerto)
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
SAN     ?=
CFLAGS_ALL  = -std=c17 -D_GNU_SOURCE -I. $(OPT) $(WARN) $(SAN) -MMD -MP $(CFLAGS)

FOLDERS := pdes memsys mimicos cores configs output partitions
PLUGIN_ONLY := $(wildcard cores/recorder_*.c)
SRC := $(filter-out $(PLUGIN_ONLY),$(wildcard $(addsuffix /*.c,$(FOLDERS))))
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB_OBJ := $(filter-out $(BUILD)/partitions/main.o,$(OBJ))
LIB := $(LIB_OBJ)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
PLUGIN := $(BUILD)/recorder_plugin.so

# Evaluated only when something is compiled, after `deps` has run.
MPI_CFLAGS = $(shell mpicc --showme:compile 2>/dev/null)
MPI_LIBS   = $(shell mpicc --showme:link 2>/dev/null)
H5_CFLAGS  = $(shell pkg-config --cflags hdf5-serial 2>/dev/null || pkg-config --cflags hdf5 2>/dev/null)
H5_LIBS    = $(shell pkg-config --libs hdf5-serial 2>/dev/null || pkg-config --libs hdf5 2>/dev/null || echo -lhdf5) -lhdf5_hl
LIBS = $(MPI_LIBS) $(H5_LIBS) -lyaml -llz4 -lxxhash -lpthread -lm

# V=1 shows whole commands.
Q   := $(if $(V),,@)
SAY := $(if $(V),@:,@echo)

GIT_VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: all deps run figures test unit system bench budget guard-update asan lint fuzz clean help install
all: $(BIN) $(PLUGIN)

help:
	@echo "make run     install what is missing, build, simulate a shipped trace, draw its picture"
	@echo "make figures run and draw the figures of README and configs/README (about four minutes)"
	@echo "make test    install what is missing, build, run every test"
	@echo "make bench   measure simulation speed; prints one table"
	@echo "make budget  what one simulated access costs this host, part by part"
	@echo "make guard-update  write tests/system/{guard,windows}.tsv anew: host instructions, mispredictions, windows, messages that runs may take"
	@echo "make asan    the tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz    fuzz the trace and configuration readers, and random machines in two ways each (SECONDS=120 each)"
	@echo "make lint    clang-tidy, cppcheck, folder order"
	@echo "make install DESTDIR= PREFIX=/usr/local"

deps:
	@bash .ci/deps.sh

# Everything that includes a library header waits for the packages, but does not rebuild for them.
$(OBJ) $(UNIT_BIN): | $(BUILD)/.deps
$(BUILD)/.deps:
	@mkdir -p $(BUILD)
	@bash .ci/deps.sh
	@touch $@

# The files where a run spends its time.
HOT := pdes/engine_run pdes/engine_rounds pdes/engine_queue pdes/inbox memsys/llc memsys/llc_lp memsys/dram memsys/dram_sched memsys/dram_lp memsys/dram_config memsys/noc \
       cores/core_lp cores/dispatch cores/fetch cores/fast cores/window cores/translate cores/translate_ahead cores/priv_cache cores/relocate cores/vmt_decode
$(HOT:%=$(BUILD)/%.o): CFLAGS_ALL += $(if $(findstring -O2,$(OPT)),-O3)
# 64-bit comparisons are slower in vectors without AVX; so is putting fields together in one to store them.
SCALAR := pdes/engine_run pdes/engine_rounds memsys/llc memsys/llc_lp memsys/dram memsys/dram_sched memsys/dram_lp cores/fast
$(SCALAR:%=$(BUILD)/%.o): CFLAGS_ALL += $(if $(findstring -O2,$(OPT)),-fno-tree-vectorize)

$(BUILD)/pdes/transport_mpi.o: CFLAGS_ALL += $(MPI_CFLAGS)
$(BUILD)/output/hdf5_write.o: CFLAGS_ALL += $(H5_CFLAGS)
# Written anew only when the revision is another one.
$(BUILD)/.revision: FORCE
	@mkdir -p $(@D)
	@echo '$(GIT_VERSION)' | cmp -s - $@ || echo '$(GIT_VERSION)' >$@
FORCE:
$(BUILD)/partitions/version.o: $(BUILD)/.revision
$(BUILD)/partitions/version.o: CFLAGS_ALL += -DCONCERTO_GIT='"$(GIT_VERSION)"'

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CFLAGS_ALL) -c $< -o $@

$(BIN): $(BUILD)/partitions/main.o $(LIB)
	$(SAY) LINK $@
	$(Q)$(CC) $(SAN) $(LINK_FLAGS) $^ -o $@ $(LIBS)

$(BUILD)/plugin/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) CC $< '(plugin)'
	$(Q)$(CC) $(filter-out $(SAN),$(CFLAGS_ALL)) -fPIC -c $< -o $@
$(PLUGIN): $(patsubst %.c,$(BUILD)/plugin/%.o,$(PLUGIN_ONLY) cores/vmt_write.c cores/vmt_codec.c pdes/err.c)
	$(SAY) LINK $@
	$(Q)$(CC) -shared $^ -o $@ -lcapstone -llz4 -lxxhash -lpthread

$(BUILD)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(filter-out -Wmissing-prototypes,$(CFLAGS_ALL)) $< $(LIB) -o $@ -lcunit $(LIBS)

unit: $(UNIT_BIN)
	@bash tests/run_unit.sh $(UNIT_BIN)

# A rank per processor, as far as there are simulated cores. Pages of 4 KiB, so that there are walks to see.
RANKS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n < 4 ? n : 4)))
run: all
	@mkdir -p out
	$(abspath $(BIN)) run configs/baseline.yaml configs/os-thp-never.yaml --trace tests/traces/bfs-4t.vmt \
	    --ranks $(RANKS) -s sim.epoch=50us -o out/bfs.h5
	@/usr/bin/python3 output/plot.py out/bfs.h5 -o out/bfs.png >/dev/null
	@echo "statistics  $(CURDIR)/out/bfs.h5"
	@echo "picture     $(CURDIR)/out/bfs.png"

# Latency against footprint, gups over 64 GiB by page size, a machine at 1/16. QUICK=--quick: fewer and shorter runs.
figures: all
	@for f in latency gups scaling; do \
	    /usr/bin/python3 output/figures.py $$f --concerto $(abspath $(BIN)) -o out/$$f.png $(QUICK) || exit 1; \
	done

test: all $(UNIT_BIN)
	@CONCERTO=$(abspath $(BIN)) bash tests/run_tests.sh $(UNIT_BIN)

# SYSTEM="exact robust": only these; EXACT=full: every combination
system: all
	@CONCERTO=$(abspath $(BIN)) bash tests/run_tests.sh

asan:
	@SANITIZE=full bash tests/system/sanitize.sh

fuzz: $(BIN) | $(BUILD)/.deps
	@bash tests/fuzz/run.sh $(or $(SECONDS),120)

lint: | $(BUILD)/.deps
	@bash tests/lint.sh

PREFIX ?= /usr/local
install: all
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/libexec/concerto" "$(DESTDIR)$(PREFIX)/share/concerto/configs"
	install $(BIN) "$(DESTDIR)$(PREFIX)/bin/concerto"
	install -m 644 $(PLUGIN) "$(DESTDIR)$(PREFIX)/libexec/concerto"
	install -m 644 configs/*.yaml "$(DESTDIR)$(PREFIX)/share/concerto/configs"
	install -m 644 output/concerto_stats.py output/plot.py output/figures.py cores/roi.h "$(DESTDIR)$(PREFIX)/share/concerto"

# Speed on this host; takes some minutes. REPETITIONS=5
bench: $(BIN) $(BUILD)/lookups
	@LOOKUPS=$(BUILD)/lookups /usr/bin/python3 tests/bench.py

# What one access costs this host, part by part, and what its cycles go into; two minutes.
$(BUILD)/lookups: tests/lookups.c $(LIB)
	$(Q)$(CC) $(CFLAGS_ALL) -O3 $< $(LIB) -o $@ $(LIBS)

budget: $(BIN) $(BUILD)/lookups
	@LOOKUPS=$(BUILD)/lookups /usr/bin/python3 tests/budget.py

# The bounds that `make test` holds the simulator to (tests/system/guard.sh, windows.sh).
guard-update: $(BIN)
	@CONCERTO=$(abspath $(BIN)) bash tests/system/guard.sh --update
	@CONCERTO=$(abspath $(BIN)) bash tests/system/windows.sh --update

# The same program, optimised for speed with gcc: profile of a few short runs, link-time optimisation.
# The kernel's files are left out, so that what is recorded of them never depends on a profile.
FAST := build-fast/concerto
PROFILED = $(filter-out $(BUILD)/mimicos/%,$(OBJ))
ifdef PROFILE
$(PROFILED): CFLAGS_ALL += $(PROFILE)
endif
ifeq ($(BUILD),build)
.PHONY: fast
fast: $(FAST)
$(FAST): $(SRC) $(wildcard $(addsuffix /*.h,$(FOLDERS)))
	@rm -rf build-fast
	@$(MAKE) --no-print-directory BUILD=build-fast PROFILE=-fprofile-generate SAN=-fprofile-generate $(FAST)
	@bash tests/train.sh $(FAST)
	@find build-fast -name '*.o' -delete; rm -f $(FAST)
	@$(MAKE) --no-print-directory BUILD=build-fast PROFILE="-fprofile-use -fprofile-partial-training -Wno-missing-profile -flto=auto" LINK_FLAGS="-flto=auto -O2" $(FAST)
endif

clean:
	rm -rf build build-asan build-fast concerto

-include $(OBJ:.o=.d) $(UNIT_BIN:=.d) $(wildcard $(BUILD)/plugin/*/*.d)
