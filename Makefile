# sqlpool.h - the library is one header and needs no build; this file builds its tests, examples,
# benchmarks and checks. `make help` lists the targets. Everything is written below $(BUILD).
#
# Variables: CC, CXX, CFLAGS, CXXFLAGS, CPPFLAGS, LDFLAGS, LDLIBS as usual;
#   SQLITE_DIR      folder with sqlite3.c and sqlite3.h, compiled in instead of linking -lsqlite3
#   SQLITE_CFLAGS   how that sqlite3.c is compiled (default below)
#   BUILD           output folder (build)
#   ONLY            test programs to run, as api/name or unit/% (all)
#   SKIP            test programs that run only when ONLY names them (stress/soak; under the sanitizers
#                   also those that run themselves thousands of times, and alone in their thread)
#   TEST_TIMEOUT    seconds a test program may run (180)
#   GOLDEN=new      with ONLY=unit/report: writes tests/report/golden anew, to be looked through
#   TEST_ARGS       arguments of the programs: full runs all of oom/%, fault/io, fault/io_care and
#                   fault/migrate
#   PARTS           parts of `make torture` and `make torture-controls` (all; see tests/torture.sh)
#   STRESS_SECONDS  seconds each stress program runs under `make stress` (60)
#   STRESS_KILLS    processes that stress/kill kills there, at least (1000)
#   MIGRATE_KILLS   processes that `make migrate-kills` kills (1000; `make torture`: 3000)
#   TORTURE_JOBS, SCHEDULES_JOBS, MUTATE_JOBS, FUZZ_JOBS  how many of their parts, variants, mutants and
#                   targets run at a time (as many as there are processors; mutants of `make torture`: half
#                   as many again)
#   SCHEDULES_RUNS  schedules that `make schedules` draws (10000000)
#   SCHEDULES_MOST  schedules that its search of one variant may take (no limit; `make torture`: 60000)
#   MODEL_OPS       operations that `make model` checks (10000000), from MODEL_SEED (1) on
#   SOAK_SECONDS    length of `make soak` (600; `make torture`: 300)
#   POWERLOSS_IMAGES  disk images that `make powerloss` looks at, of FULL alone (1000000)
#   FUZZ_SECONDS    seconds each fuzz target runs under `make fuzz` (600), `make fuzz-short` (5)
#   FUZZ            fuzz targets to run, of tests/fuzz (all)
#   MUTANTS         changes of sqlpool.h that `make mutate` tries (400)
#   SIM_SEED        the number that random tests, and the sample of `make mutate`, begin with
#   WALRESET_SCHEDULES  schedules of `make walreset`, of each of three programs in each of three ways
#                   (15000; `make torture`: 5000)
#   MATRIX          targets of `make matrix` (all; see tests/matrix/run.sh)
#   BENCH_FLAGS     passed to bench/run.sh (none; --json)
#   PREFIX, DESTDIR for install (/usr/local)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BUILD ?= build
CFLAGS ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
PREFIX ?= /usr/local
TEST_TIMEOUT ?= 180
STRESS_SECONDS ?= 60
STRESS_KILLS ?= 1000
MIGRATE_KILLS ?= 1000
POWERLOSS_IMAGES ?= 1000000
FUZZ_FLAGS ?= -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
    -fno-sanitize-recover=undefined
MUTANTS ?= 400
export MUTANTS
MODEL_OPS ?= 10000000
MODEL_SEED ?= 1
SOAK_SECONDS ?= 600
WALRESET_SCHEDULES ?= 15000
ONLY ?=
SKIP ?= stress/soak
SKIP_ASAN := $(SKIP) stress/model stress/kill unit/sched unit/schedules fault/backup fault/io_care \
    fault/maintain fault/migrate fault/powerloss fault/walreset oom/care
SKIP_TSAN := $(SKIP_ASAN) oom/% fault/% api/bulk api/bulk_faults api/config api/found \
    api/migrate_folder api/no_threads api/routing api/salvage api/single unit/archive unit/base unit/core \
    unit/indexes unit/locks unit/log unit/paths unit/report unit/retry unit/sql unit/statements
TEST_ARGS ?=
MATRIX ?=
PARTS ?=
SYSTEM := $(shell uname -s)

# Warnings of an ordinary build; `make lint` and `make compile-check` use STRICT.
WARNINGS ?= -Wall -Wextra
STRICT := -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
    -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wdouble-promotion -Werror

# --- SQLite: an amalgamation, or the system's library --------------------------------------------
ifdef SQLITE_DIR
SQLITE_CFLAGS ?= -O2 -DHAVE_USLEEP=1 -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_COLUMN_METADATA \
    -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_STMTVTAB
SQLITE_INCLUDE := -I$(SQLITE_DIR)
SQLITE_LINK := $(BUILD)/sqlite3.o
else
SQLITE_INCLUDE := $(shell pkg-config --cflags sqlite3 2>/dev/null)
SQLITE_LINK := $(or $(shell pkg-config --libs sqlite3 2>/dev/null),-lsqlite3)
endif
SQLITE_OBJECT := $(filter %.o,$(SQLITE_LINK))

override LDLIBS += -lpthread -lm
ifeq ($(SYSTEM),Linux)
override LDLIBS += -ldl
endif

INCLUDE := -I. -Itests $(SQLITE_INCLUDE)
# The implementation is compiled as strict C11; programs may use what POSIX adds to C.
COMPILE = $(CC) $(INCLUDE) $(CPPFLAGS) $(WARNINGS) $(CFLAGS) -MMD -MP -MF $@.d -MT $@
COMPILE_CXX = $(CXX) -std=c++11 $(INCLUDE) $(CPPFLAGS) $(WARNINGS) $(CXXFLAGS) -MMD -MP -MF $@.d -MT $@

# Coverage builds leave assertions out: their failing side never runs.
ifdef COVERAGE

override CPPFLAGS += -DNDEBUG '-DSQLPOOL_ASSERT(x)=((void)0)'
endif

# --- programs ------------------------------------------------------------------------------------
C_TESTS := $(wildcard tests/api/*.c tests/unit/*.c tests/oom/*.c tests/fault/*.c tests/stress/*.c \
    tests/matrix/*.c)
CXX_TESTS := $(wildcard tests/api/*.cpp)
# The dashboard wants libmicrohttpd; the others want nothing.
HAVE_HTTP := $(shell printf '\043include <microhttpd.h>\nint main(void) { return 0; }\n' | \
    $(CC) $(CPPFLAGS) -x c - -lmicrohttpd -o /dev/null 2>/dev/null && echo yes)
NO_HTTP := libmicrohttpd (libmicrohttpd-dev) is not installed
C_EXAMPLES := $(filter-out $(if $(HAVE_HTTP),,examples/dashboard.c),$(wildcard examples/*.c))
CXX_EXAMPLES := $(wildcard examples/*.cpp)
BENCHES := $(wildcard bench/*.c)

# Is there a C++ compiler that works? Asked only when there is C++ to compile.
ifneq ($(CXX_TESTS)$(CXX_EXAMPLES),)
HAVE_CXX := $(shell echo 'int main() { return 0; }' | \
    $(CXX) -std=c++11 -x c++ - -o /dev/null 2>/dev/null && echo yes)
endif
NO_CXX := no C++ compiler ($(CXX)) works here

test_programs := $(C_TESTS:%.c=$(BUILD)/%) $(if $(HAVE_CXX),$(CXX_TESTS:%.cpp=$(BUILD)/%_cpp))
TEST_PROGRAMS := $(if $(ONLY),$(filter $(ONLY:%=$(BUILD)/tests/%),$(test_programs)),$(filter-out \
    $(SKIP:%=$(BUILD)/tests/%),$(test_programs)))
TEST_SCRIPTS ?= $(if $(ONLY),,tests/lint/snippets.sh tests/report/formats.sh)
EXAMPLES := $(C_EXAMPLES:%.c=$(BUILD)/%) $(if $(HAVE_CXX),$(CXX_EXAMPLES:%.cpp=$(BUILD)/%_cpp))
BENCH_PROGRAMS := $(BENCHES:%.c=$(BUILD)/%)

# A file that defines SQLPOOL_IMPLEMENTATION is complete; the others link the one object.
SELF := $(shell grep -l '^ *\# *define  *SQLPOOL_IMPLEMENTATION' $(C_TESTS) $(CXX_TESTS) \
    $(C_EXAMPLES) $(CXX_EXAMPLES) $(BENCHES) /dev/null)
impl_for = $(if $(filter $(1),$(SELF)),,$(BUILD)/$(2)sqlpool_impl.o)
# What tests add to the library's one object, in some a copy of the implementation, is not optimised: that
# is several times as fast to build, and the time is spent in the object and in SQLite. Only the schedules
# are, which run for long. The sanitizers' -O1 stays where there is no copy, for the compiler's warnings of
# flow. In white-box programs what they do not reach is left out.
slow_units := tests/unit/sched.c tests/unit/schedules.c
unit_for = $(if $(filter tests/unit/%,$(1)),-DSQLPOOL_STATIC) $(if $(filter $(slow_units),$(1)),,$(if \
    $(filter $(if $(filter $(SELF),$(1)),-O1) -O2,$(CFLAGS)),-O0))
LINK_END = $(if $(filter %/dashboard,$@),-lmicrohttpd) $(SQLITE_LINK) $(LDFLAGS) $(LDLIBS)

# Objects are made anew when compiler or flags change.
FLAGS := $(CC) / $(CXX) / $(COMPILE) / $(COMPILE_CXX) / $(SQLITE_CFLAGS) / $(LINK_END)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$FLAGS" | cmp -s - $@ || printf '%s\n' "$$FLAGS" > $@
export FLAGS

$(BUILD)/sqlite3.o: $(SQLITE_DIR)/sqlite3.c $(BUILD)/flags
	$(CC) -I$(SQLITE_DIR) $(SQLITE_CFLAGS) $(SQLITE_EXTRA) -c -o $@ $<

$(BUILD)/sqlpool_impl.o: tests/impl.c $(BUILD)/flags
	$(COMPILE) -std=c11 -c -o $@ $<

$(BUILD)/bench/sqlpool_impl.o: tests/impl.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -std=c11 -O2 -DNDEBUG -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(BUILD)/flags $(BUILD)/sqlpool_impl.o $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(COMPILE) -std=gnu11 $(call unit_for,$<) -o $@ $< $(call impl_for,$<) $(LINK_END)

$(BUILD)/tests/%_cpp: tests/%.cpp $(BUILD)/flags $(BUILD)/sqlpool_impl.o $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(COMPILE_CXX) -o $@ $< $(call impl_for,$<) $(LINK_END)

$(BUILD)/examples/%: examples/%.c $(BUILD)/flags $(BUILD)/sqlpool_impl.o $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(COMPILE) -std=gnu11 -o $@ $< $(call impl_for,$<) $(LINK_END)

$(BUILD)/examples/%_cpp: examples/%.cpp $(BUILD)/flags $(BUILD)/sqlpool_impl.o $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(COMPILE_CXX) -o $@ $< $(call impl_for,$<) $(LINK_END)

$(BUILD)/bench/%: bench/%.c $(BUILD)/flags $(BUILD)/bench/sqlpool_impl.o $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(COMPILE) -std=gnu11 -O2 -DNDEBUG -o $@ $< $(call impl_for,$<,bench/) $(LINK_END)

# Two copies of the library, with and without metrics, each in four layouts of its code.
METRICS_LAYOUTS := 1 2 3 4
LAYOUT_1 := -falign-functions=16
LAYOUT_2 := -falign-functions=32 -falign-loops=32
LAYOUT_3 := -falign-functions=64
LAYOUT_4 := -falign-functions=128 -falign-loops=16
METRICS_OBJECTS := $(foreach l,$(METRICS_LAYOUTS),$(BUILD)/bench/metrics_with_$(l).o \
    $(BUILD)/bench/metrics_without_$(l).o)

$(BUILD)/bench/metrics_with_%.o: bench/metrics.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -std=gnu11 -O2 -DNDEBUG $(LAYOUT_$*) -DSYSTEM=metrics_with_$* -c -o $@ $<
$(BUILD)/bench/metrics_without_%.o: bench/metrics.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -std=gnu11 -O2 -DNDEBUG $(LAYOUT_$*) -DSYSTEM=metrics_without_$* -DSQLPOOL_NO_METRICS -c -o $@ $<
$(BUILD)/bench/metrics: bench/metrics.c $(METRICS_OBJECTS) $(BUILD)/flags $(SQLITE_OBJECT)
	$(COMPILE) -std=gnu11 -O2 -DNDEBUG -o $@ $< $(METRICS_OBJECTS) $(LINK_END)

# Fuzz targets: with the compiler's own reports of the code that was reached, where it has them; for
# libFuzzer; and with a bug in the header that they must find.
FUZZ_JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
FUZZ ?= $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_TRACE = $(shell echo 'int main(void) { return 0; }' | \
    $(CC) -c -fsanitize-coverage=trace-pc -x c - -o /dev/null 2>/dev/null && \
    echo -fsanitize-coverage=trace-pc -DFUZZ_TRACE)
LIBFUZZER = $(shell clang -fsanitize=fuzzer,address -x c /dev/null -E -o /dev/null 2>/dev/null && \
    echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n ? 0 : 0; }' | \
    clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null && echo yes)
FUZZ_COMPILE = $(INCLUDE) $(CPPFLAGS) -DSQLPOOL_STATIC $(WARNINGS) $(FUZZ_FLAGS) -std=gnu11 -MMD -MP -MF $@.d -MT $@ -o $@

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/flags $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	$(CC) $(FUZZ_TRACE) $(FUZZ_COMPILE) $< $(LINK_END)

$(BUILD)/fuzz/%.libfuzzer: tests/fuzz/%.c $(BUILD)/flags $(SQLITE_OBJECT)
	@mkdir -p $(@D)
	clang -fsanitize=fuzzer -DFUZZ_LIBFUZZER $(FUZZ_COMPILE) $< $(LINK_END)

$(BUILD)/fuzz/%.control: tests/fuzz/%.c sqlpool.h tests/fuzz/controls.sed $(BUILD)/flags $(SQLITE_OBJECT)
	@mkdir -p $@.h
	@sed -n '/^# $*$$/,/^$$/p' tests/fuzz/controls.sed | sed -f - sqlpool.h > $@.h/sqlpool.h
	@! cmp -s sqlpool.h $@.h/sqlpool.h || { echo 'controls.sed has no bug for $*'; exit 1; }
	$(CC) $(FUZZ_TRACE) -I$@.h $(FUZZ_COMPILE) $< $(LINK_END)

-include $(wildcard $(BUILD)/fuzz/*.d $(BUILD)/*.d $(BUILD)/tests/*/*.d $(BUILD)/examples/*.d $(BUILD)/bench/*.d)

# --- targets -------------------------------------------------------------------------------------
# One variant: the tests again, below $(BUILD)/name with other flags.
variant = $(MAKE) --no-print-directory test TEST_SCRIPTS= BUILD=$(BUILD)/$(1)
TEST_ENV = TEST_TIMEOUT='$(TEST_TIMEOUT)' TEST_ARGS='$(TEST_ARGS)' CC='$(CC)' CXX='$(CXX)' \
    SQLITE_INCLUDE='$(SQLITE_INCLUDE)' SQLITE_LINK='$(SQLITE_LINK)' LDLIBS='$(LDLIBS)' BUILD='$(BUILD)'
SCRIPT_ENV = CC='$(CC)' CXX='$(CXX)' STRICT='$(STRICT)' CPPFLAGS='$(CPPFLAGS)' \
    SQLITE_INCLUDE='$(SQLITE_INCLUDE)' SQLITE_LINK='$(SQLITE_LINK)' LDLIBS='$(LDLIBS)' BUILD='$(BUILD)'

.PHONY: FORCE help demo test examples dashboard dashboard-shot bench bench-instructions bench-metrics \
    bench-plot stress powerloss kills walreset migrate-kills mutate lint \
    torture torture-controls model model-controls soak schedules schedules-controls fuzz fuzz-short fuzz-controls \
    compile-check symbols size asan ubsan tsan matrix matrix-deps aarch64 valgrind cov analyze \
    install clean programs
FORCE:

help: ## this list
	@echo 'make TARGET [VARIABLE=value ...]     (variables: see the top of the Makefile)'; echo
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' Makefile

demo: $(BUILD)/examples/codeindex $(BUILD)/examples/ingest $(BUILD)/examples/maintain ## index and search /usr/include from many threads, write logs; checks itself
	sh examples/demo.sh $(BUILD)
	sh examples/ingest.sh $(BUILD)

test: $(TEST_PROGRAMS) $(SQLITE_OBJECT) ## build and run all test programs; ends with "N passed, N failed"
	@$(if $(HAVE_CXX),,$(if $(CXX_TESTS),echo 'skipped: $(CXX_TESTS): $(NO_CXX)';)) \
	$(TEST_ENV) sh tests/run.sh $(BUILD) $(TEST_PROGRAMS) $(TEST_SCRIPTS)

programs: $(TEST_PROGRAMS) $(EXAMPLES) $(BENCH_PROGRAMS) ## build every program and run none

examples: $(EXAMPLES) ## build every example, run the quick starts, a short ingest, migrations up, down and up
	@$(if $(HAVE_HTTP),,echo 'skipped: examples/dashboard.c: $(NO_HTTP)';) \
	$(if $(HAVE_CXX),,$(if $(CXX_EXAMPLES),echo 'skipped: $(CXX_EXAMPLES): $(NO_CXX)';)) \
	for program in $(filter $(BUILD)/examples/quickstart%,$(EXAMPLES)); do \
	    rm -rf $$program.dir && mkdir -p $$program.dir && path=$$(cd $(BUILD) && pwd) && \
	    echo "running $$program" && \
	    (cd $$program.dir && "$$path/examples/$${program##*/}") || exit 1; \
	done
	@rm -rf $(BUILD)/examples/ingest.dir && mkdir -p $(BUILD)/examples/ingest.dir
	$(BUILD)/examples/ingest $(BUILD)/examples/ingest.dir/log.db --events 2000 --seed 1
	@rm -rf $(BUILD)/examples/maintain.dir && mkdir -p $(BUILD)/examples/maintain.dir
	for version in --dry-run 6 0 6; do \
	    $(BUILD)/examples/maintain migrate $(BUILD)/examples/maintain.dir/app.db examples/migrations $$version || exit 1; \
	done

dashboard: $(filter %/dashboard,$(EXAMPLES)) ## the dashboard under its load, in a headless Chromium: does it show what is wrong?
	@$(if $(HAVE_HTTP),,echo 'skipped: examples/dashboard.c: $(NO_HTTP)';) \
	$(TEST_ENV) sh tests/run.sh $(BUILD) tests/report/dashboard.sh; status=$$?; \
	grep '^# skipped' $(BUILD)/tests/report/dashboard.log; exit $$status

dashboard-shot: $(filter %/dashboard,$(EXAMPLES)) ## pictures of it, light and dark, on a desk and on a phone, below $(BUILD)
	@$(TEST_ENV) sh tests/report/dashboard.sh shot

bench: $(BENCH_PROGRAMS) ## measure: the numbers of the README
	sh bench/run.sh $(BUILD)/bench $(BENCH_FLAGS)

bench-instructions: $(BUILD)/bench/bench ## instructions per operation, counted by callgrind
	@command -v valgrind >/dev/null || { echo 'skipped: valgrind is not installed'; exit 1; }
	@sh bench/instructions.sh $(BUILD)/bench $(BENCH_FLAGS)

bench-metrics: $(BUILD)/bench/metrics ## what monitoring costs: full, counters, off, compiled out; two minutes
	@sh bench/metrics.sh $(BUILD)/bench $(BENCH_FLAGS)

bench-plot: $(BENCH_PROGRAMS) ## measure, and draw bench.svg below $(BUILD)/bench
	@echo 'this takes about four minutes'
	@sh bench/run.sh $(BUILD)/bench --json > $(BUILD)/bench/bench.txt
	@grep -v '^{' $(BUILD)/bench/bench.txt
	@grep '^{' $(BUILD)/bench/bench.txt > $(BUILD)/bench/bench.json
	awk -f bench/plot.awk $(BUILD)/bench/bench.json > $(BUILD)/bench/bench.svg

stress: $(filter $(BUILD)/tests/stress/%,$(TEST_PROGRAMS)) ## stress programs for STRESS_SECONDS each
	@$(TEST_ENV) STRESS_SECONDS='$(STRESS_SECONDS)' STRESS_KILLS='$(STRESS_KILLS)' \
	    TEST_FIGURES=1 sh tests/run.sh $(BUILD) \
	    $(filter $(BUILD)/tests/stress/%,$(TEST_PROGRAMS))

torture: ## every long campaign, hours; goes on where it was stopped
	@BUILD='$(BUILD)' MAKE='$(MAKE)' PARTS='$(PARTS)' sh tests/torture.sh

torture-controls: ## broken pools and programs, which the campaigns must find
	@BUILD='$(BUILD)' MAKE='$(MAKE)' PARTS='$(PARTS)' sh tests/torture.sh controls

model: $(BUILD)/tests/stress/model ## compare MODEL_OPS random operations with a model; says where the next part begins
	@SIM_SEED='$(MODEL_SEED)' $< ops '$(MODEL_OPS)'

model-controls: $(SQLITE_OBJECT) ## bugs seeded in copies of sqlpool.h, which the model must find
	@$(SCRIPT_ENV) sh tests/stress/model_controls.sh

migrate-kills: $(BUILD)/tests/fault/migrate ## kill MIGRATE_KILLS processes in their migrations, at any call to the disk
	@$(TEST_ENV) TEST_FIGURES=1 TEST_TIMEOUT=3600 MIGRATE_KILLS='$(MIGRATE_KILLS)' sh tests/run.sh $(BUILD) $<

soak: $(BUILD)/tests/stress/soak ## two processes on one file for SOAK_SECONDS; nothing may grow
	@$(TEST_ENV) TEST_FIGURES=1 TEST_TIMEOUT=$$(($(SOAK_SECONDS) + 600)) SOAK_SECONDS='$(SOAK_SECONDS)' \
	    sh tests/run.sh $(BUILD) $<

powerloss: $(BUILD)/tests/fault/powerloss ## the power goes POWERLOSS_IMAGES times; some minutes
	@$(TEST_ENV) TEST_FIGURES=1 TEST_TIMEOUT=3600 POWERLOSS_IMAGES='$(POWERLOSS_IMAGES)' sh tests/run.sh $(BUILD) $<

fuzz-short: $(FUZZ:%=$(BUILD)/fuzz/%) ## random inputs against every parser and promise, about a minute
	@FUZZ_SECONDS='$(or $(FUZZ_SECONDS),5)' sh tests/fuzz/run.sh $(BUILD)/fuzz own $(FUZZ)

fuzz: $(if $(LIBFUZZER),$(FUZZ:%=$(BUILD)/fuzz/%.libfuzzer),$(FUZZ:%=$(BUILD)/fuzz/%)) ## the same for FUZZ_SECONDS each, with libFuzzer where it is
	@printf '%s\n' $(FUZZ) | FUZZ_SECONDS='$(or $(FUZZ_SECONDS),600)' xargs -P '$(FUZZ_JOBS)' -I NAME \
	    sh tests/fuzz/run.sh $(BUILD)/fuzz $(if $(LIBFUZZER),libfuzzer,own) NAME | \
	    awk '/ passed, /{ p += $$1; f += $$3; next } { print; fflush() } \
	        END { print p + 0 " passed, " f + 0 " failed"; exit p == 0 || f > 0 }'

fuzz-controls: $(FUZZ:%=$(BUILD)/fuzz/%.control) ## a bug in a copy of the header for each target, which must find it
	@FUZZ_SECONDS='$(or $(FUZZ_SECONDS),60)' sh tests/fuzz/run.sh $(BUILD)/fuzz control $(FUZZ)

schedules: $(BUILD)/tests/unit/schedules ## every order of threads in variants of twelve scenarios; hours; goes on where it was stopped
	@$(TEST_ENV) sh tests/sim/schedules.sh

schedules-controls: $(BUILD)/tests/unit/schedules ## ten broken pools, which the schedules must find
	@$(TEST_ENV) CPPFLAGS='$(CPPFLAGS)' sh tests/sim/controls.sh

mutate: $(SQLITE_OBJECT) ## change sqlpool.h at random: does a test notice? MUTANTS times; goes on when begun again
	@$(SCRIPT_ENV) sh tests/mutate/mutate.sh

kills: $(BUILD)/tests/fault/backup $(BUILD)/tests/fault/maintain ## backups, restores, vacuums and the like are killed at each of their calls to the disk
	@$(TEST_ENV) TEST_FIGURES=1 TEST_TIMEOUT=3600 TEST_ARGS=full sh tests/run.sh $(BUILD) $^

walreset: $(BUILD)/tests/fault/walreset ## checkpoints beside writers in many orders; some minutes
	@$(TEST_ENV) TEST_FIGURES=1 TEST_TIMEOUT=3600 WALRESET_SCHEDULES='$(WALRESET_SCHEDULES)' \
	    sh tests/run.sh $(BUILD) $<

lint: $(SQLITE_OBJECT) ## rules of the text: map, layout, names, snippets, strict flags
	@$(SCRIPT_ENV) sh tests/lint/lint.sh

compile-check: $(SQLITE_OBJECT) ## standards, C++, re-inclusion, hostile macros, every switch, gcc and clang
	@$(SCRIPT_ENV) sh tests/compile/run.sh

symbols: ## names and writable data of the object, and what it asks of libc
	@$(SCRIPT_ENV) sh tests/lint/symbols.sh

size: ## code and data size for every compile switch
	@$(SCRIPT_ENV) sh tests/lint/size.sh

asan: ## tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
	+ASAN_OPTIONS=$${ASAN_OPTIONS-detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1} \
	UBSAN_OPTIONS=$${UBSAN_OPTIONS-print_stacktrace=1} \
	$(call variant,asan) SKIP='$(SKIP_ASAN)' CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined'

ubsan: ## tests under UndefinedBehaviorSanitizer alone, optimised
	+UBSAN_OPTIONS=$${UBSAN_OPTIONS-print_stacktrace=1} \
	$(call variant,ubsan) CFLAGS='-O2 -g -fsanitize=undefined -fno-sanitize-recover=undefined'

tsan: ## tests under ThreadSanitizer
	+TSAN_OPTIONS=$${TSAN_OPTIONS-second_deadlock_stack=1:die_after_fork=0:history_size=4} \
	TEST_WRAPPER="$$(CC='$(CC)' sh tests/lint/tsan.sh $(BUILD)/tsan)" \
	$(call variant,tsan) SKIP='$(SKIP_TSAN)' CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=thread' \
	    SQLITE_EXTRA='-g -fsanitize=thread'

matrix: ## compilers, processors, Windows, WASM and versions of SQLite; MATRIX=target for one
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh tests/matrix/run.sh $(MATRIX)

aarch64: ## snapshot and stress tests on emulated aarch64, a target of the matrix
	@BUILD='$(BUILD)' MAKE='$(MAKE)' \
	    MATRIX_SUITES='$(or $(ONLY),%/snapshot %/changed %/scope stress/%)' sh tests/matrix/run.sh aarch64

matrix-deps: ## install what the matrix needs from the packages of Debian or Ubuntu, as root
	sh tests/matrix/deps.sh

valgrind: ## api, unit and oom tests under valgrind's memcheck
	@command -v valgrind >/dev/null || { echo 'skipped: valgrind is not installed'; exit 1; }
	+TEST_WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible --errors-for-leak-kinds=definite,possible --track-fds=no --num-callers=30 --fair-sched=try' \
	$(call variant,valgrind) CFLAGS='-O1 -g' TEST_TIMEOUT=1200 ONLY='$(or $(ONLY),api/% unit/% oom/%)'

cov: ## line and branch coverage of sqlpool.h by the tests (gcc and gcov)
	@mkdir -p $(BUILD)/cov && find $(BUILD)/cov -name '*.gcda' -exec rm -f {} +
	+$(call variant,cov) COVERAGE=1 CC='$(if $(filter default,$(origin CC)),gcc,$(CC))' \
	    CFLAGS='-O0 -g --coverage -fprofile-update=atomic'; \
	status=$$?; sh tests/lint/cov.sh $(BUILD)/cov tests/coverage.txt && exit $$status

analyze: ## cppcheck, clang --analyze, gcc -fanalyzer
	@$(SCRIPT_ENV) sh tests/lint/analyze.sh

install: ## header and pkg-config file to PREFIX (/usr/local), below DESTDIR
	mkdir -p '$(DESTDIR)$(PREFIX)/include' '$(DESTDIR)$(PREFIX)/share/pkgconfig'
	cp sqlpool.h '$(DESTDIR)$(PREFIX)/include/sqlpool.h'
	chmod 644 '$(DESTDIR)$(PREFIX)/include/sqlpool.h'
	sed -n 's/^#define SQLPOOL_VERSION_M[AI][JN]OR  *\([0-9]*\).*/\1./p; s/^#define SQLPOOL_VERSION_PATCH  *\([0-9]*\).*/\1/p' sqlpool.h | \
	    tr -d '\n' | { read -r version || :; printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' '' \
	    'Name: sqlpool' 'Description: connection pool for SQLite in one header' "Version: $$version" \
	    'Requires: sqlite3' 'Libs: -pthread' 'Cflags: -I$${includedir}'; } \
	    > '$(DESTDIR)$(PREFIX)/share/pkgconfig/sqlpool.pc'
	chmod 644 '$(DESTDIR)$(PREFIX)/share/pkgconfig/sqlpool.pc'

clean: ## remove what was built
	rm -rf $(BUILD)
