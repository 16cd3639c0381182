# Tenon's build: one non-recursive GNU Makefile.
#
#   make            builds build/release/tenon        make demo   the main job, start to end
#   make test       every test, set-up included       make lint   layers, headers, calls, format
#   make bench      measures                          make fuzz   libFuzzer, FUZZ_SECONDS each
#   make conformance  files that others made      make bench-columns  against DuckDB and pyarrow
#   make bench-train    a training step against PyTorch    make bench-cpu      against llama.cpp
#   make bench-invariance  one order of sums beside any     make bench-quantize  beside AWQ's and GPTQ's papers
#   make library    build/release/libtenon.so, for python/ and other programs
#   MODE=release|debug|asan|ubsan|tsan                BUILD=dir   another build folder
#
# Sources are found by pattern: a new .c file in a room needs no line here.  A file's ISA flags follow
# from its name (*_avx2.c, *_avx512.c, *_avx512vnni.c, *_avx512bf16.c, *_amx.c), so that one binary runs on any x86-64.

MODE  ?= release
BUILD ?= build
B     := $(BUILD)/$(MODE)
CC    ?= gcc
V     ?= 0
Q     := $(if $(filter 0,$(V)),@)

ROOMS := base net columns tensor kernels feed model eval quant train serve
# closure: a room, the rooms it may include, and what those need; highest first (the order a linker wants)
layer_line = $(shell awk -F: -v r=$(1) '$$1==r {print $$2}' src/LAYERS)
reverse    = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
LINK_ORDER := $(call reverse,$(ROOMS))
below      = $(1) $(call layer_line,$(1))
closure    = $(filter $(sort $(foreach r,$(call below,$(1)),$(call below,$(r)))),$(LINK_ORDER))

WARN  := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef \
         -Wno-unused-parameter -Wno-missing-field-initializers
CPPFLAGS += -Isrc -Iinclude -D_GNU_SOURCE
CFLAGS_COMMON := -std=gnu11 $(WARN) -g -pthread -fno-math-errno -fvisibility=hidden
CFLAGS_release := -O3
CFLAGS_debug   := -O0
CFLAGS_asan    := -O1 -fsanitize=address,leak -fno-omit-frame-pointer
CFLAGS_ubsan   := -O1 -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -fsanitize=thread -fno-omit-frame-pointer
ifeq ($(CFLAGS_$(MODE)),)
$(error MODE=$(MODE) is not one of release debug asan ubsan tsan)
endif
CFLAGS += $(CFLAGS_COMMON) $(CFLAGS_$(MODE)) $(WERROR)

# What a room needs beyond libc.
LIBS_net     := -lmicrohttpd -lcurl
LIBS_columns := -lzstd -lsnappy -ldeflate -lz -llz4 -lbrotlidec -lbrotlienc -lxxhash -lcrypto
LIBS_model   := -lpcre2-8 -lutf8proc -lxxhash
LIBS_train   := -lyaml
LIBS_cli     := -ledit
libs = $(sort $(foreach r,$(1),$(LIBS_$(r)))) -lm -ldl

# ---- objects and room archives -------------------------------------------------------------------
ISA_x86_64 := $(filter x86_64,$(shell uname -m))
isa_flags = $(if $(ISA_x86_64),$(if $(filter %_amx,$(1)),-march=x86-64-v4 -mavx512vnni -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16,\
            $(if $(filter %_avx512bf16,$(1)),-march=x86-64-v4 -mavx512vnni -mavx512bf16,\
            $(if $(filter %_avx512vnni,$(1)),-march=x86-64-v4 -mavx512vnni,\
            $(if $(filter %_avx512,$(1)),-march=x86-64-v4,\
            $(if $(filter %_avx2,$(1)),-march=x86-64-v3))))))
room_sources = $(sort $(shell find src/$(1) -name '*.c'))
objects      = $(patsubst %.c,$(B)/obj/%.o,$(1))

CLI_OBJECTS := $(call objects,$(call room_sources,cli))
PROGRAM     := $(B)/tenon

.PHONY: all
all: $(PROGRAM) library

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo "  cc   $<")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(call isa_flags,$*) -MMD -MP -c $< -o $@

define room_rules
$(B)/lib/lib$(1).a: $(call objects,$(call room_sources,$(1)))
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))
archives = $(foreach r,$(1),$(B)/lib/lib$(r).a)

$(PROGRAM): $(CLI_OBJECTS) $(call archives,$(LINK_ORDER))
	$(if $(filter 0,$(V)),@echo "  link $@")
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(call libs,$(ROOMS) cli)

# ---- libtenon.so: what include/tenon/ declares, for Python and other programs --------------------------
LIBRARY       := $(B)/libtenon.so
LIBRARY_ROOMS := $(call closure,columns)
PIC_OBJECTS   := $(foreach r,$(LIBRARY_ROOMS),$(patsubst %.c,$(B)/pic/%.o,$(call room_sources,$(r))))
$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo "  cc   $< (shared)")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC $(call isa_flags,$*) -MMD -MP -c $< -o $@
$(LIBRARY): $(PIC_OBJECTS)
	$(if $(filter 0,$(V)),@echo "  link $@")
	$(Q)$(CC) $(CFLAGS) -shared -Wl,-soname,libtenon.so.0 -Wl,--no-undefined -o $@ $^ $(call libs,$(LIBRARY_ROOMS))
.PHONY: library
library: $(LIBRARY)

# ---- unit tests: tests/unit/<room>/test_*.c, linked with that room's layers only -------------------
TEST_SOURCES  := $(sort $(wildcard tests/unit/*/test_*.c))
TEST_PROGRAMS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(TEST_SOURCES))
define test_rules
$(B)/tests/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o $(call archives,$(if $(filter cli,$(1)),$(LINK_ORDER),$(call closure,$(1))))
	@mkdir -p $$(@D)
	$(Q)$$(CC) $$(CFLAGS) -o $$@ $$^ -lcmocka $(call libs,$(if $(filter cli,$(1)),$(ROOMS),$(call closure,$(1))))
endef
$(foreach r,$(ROOMS) cli,$(eval $(call test_rules,$(r))))

.PHONY: unit-programs
unit-programs: $(TEST_PROGRAMS)
# make unit ROOM=columns: builds and runs one room's unit tests
.PHONY: unit
unit: $(if $(ROOM),$(filter $(B)/tests/$(ROOM)/%,$(TEST_PROGRAMS)),$(TEST_PROGRAMS))
	$(Q)tools/run_unit.sh $^

# ---- benchmarks -----------------------------------------------------------------------------------
$(B)/bench/%: $(B)/obj/bench/%.o $(call archives,$(LINK_ORDER))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(call libs,$(ROOMS) cli)

# Columns against DuckDB and pyarrow (bench/bench_columns.py says what is measured): BENCH_FLAGS=--quick
.PHONY: bench-columns
bench-columns: $(PROGRAM) $(patsubst %,$(B)/bench/%,make_table scan_table random_rows)
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python bench/bench_columns.py $(BENCH_FLAGS)

# Quantization beside the published AWQ and GPTQ, on a model trained here: BENCH_FLAGS="--autoawq PYTHON --rounds 3"
.PHONY: bench-quantize
bench-quantize: $(PROGRAM)
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python bench/bench_quantize.py $(BENCH_FLAGS)

# Tokenizers against Hugging Face's (bench/bench_tokenizer.py says what is measured): BENCH_FLAGS="--rounds 1"
.PHONY: bench-tokenizer
bench-tokenizer: $(PROGRAM) $(B)/bench/encode_texts
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python bench/bench_tokenizer.py $(BENCH_FLAGS)

# Models on the CPU against llama.cpp (bench/bench_cpu.py): BENCH_FLAGS="--layers 4 --rounds 1"
.PHONY: bench-cpu
bench-cpu: $(PROGRAM) $(B)/bench/forward_cpu
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python bench/bench_cpu.py $(BENCH_FLAGS)

# What one order of accumulation costs (bench/bench_invariance.py)
.PHONY: bench-invariance
bench-invariance: $(B)/bench/linear_orders
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python bench/bench_invariance.py --build $(B) $(BENCH_FLAGS)

# ---- fuzzing: tests/fuzz/fuzz_*.c, libFuzzer with ASan and UBSan ------------------------------------------
FUZZ_SECONDS  ?= 60
FUZZ_SOURCES  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SOURCES))
FUZZ_ROOMS    := base columns model tensor kernels
FUZZ_FLAGS    := -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -pthread
# One compilation of everything a parser may need: clang's fuzzer wants coverage in all of it.
$(BUILD)/fuzz/%: tests/fuzz/%.c $(foreach r,$(FUZZ_ROOMS),$(call room_sources,$(r)))
	@mkdir -p $(@D)
	@echo "  fuzz $@"
	$(Q)tools/fuzz_build.sh "$@" "$(FUZZ_FLAGS)" "$(call libs,$(FUZZ_ROOMS))" $^
# The same targets as plain programs over their corpora: part of every `make test`.
CORPUS_PROGRAMS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(FUZZ_SOURCES))
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/driver.o $(call archives,$(LINK_ORDER))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(call libs,$(ROOMS))
.PHONY: corpora
corpora: $(CORPUS_PROGRAMS)
	$(Q)tools/run_unit.sh $^
.PHONY: fuzz
fuzz: $(FUZZ_PROGRAMS)
	$(Q)tools/fuzz_run.sh $(FUZZ_SECONDS) $^

# ---- what people call ----------------------------------------------------------------------------------------
.PHONY: demo setup test lint bench format conformance
# every file below TENON_TESTDATA, by its kind: CONFORMANCE_FLAGS=--heavy
conformance: $(PROGRAM) library
	$(Q)tools/setup.sh test
	$(Q).venv/bin/python tests/conformance/run.py $(CONFORMANCE_FLAGS)
demo:
	@tools/demo.sh
setup:
	@tools/setup.sh build
test:
	@tools/test.sh $(MODE)
lint:
	@tools/lint.sh
# A training step against PyTorch (bench/bench_train.py says what is measured)
.PHONY: bench-train
bench-train: $(B)/bench/train_steps
	$(Q).venv/bin/python bench/bench_train.py --build $(B) $(BENCH_FLAGS)
bench: $(PROGRAM)
	$(Q)$(PROGRAM) bench cpu
# docs/ops.md is printed by the program out of ops.def
.PHONY: docs
docs: $(PROGRAM)
	$(Q)mkdir -p docs && $(PROGRAM) doctor --manual >docs/ops.md
format:
	clang-format -i $(shell git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' 'include/*.h')

.SECONDARY:
.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(B)/obj $(B)/pic -name '*.d' 2>/dev/null)
