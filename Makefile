# SPDX-License-Identifier: BSD-2-Clause
# make run and make test are all that is needed on a fresh machine; see README.md.

VERSION := $(shell sed -n 's/.*DROPSCOPE_VERSION "\(.*\)"/\1/p' daemon/version.h)
BUILD ?= build
PREFIX ?= /usr
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool /sbin/bpftool) bpftool)
ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/; s/ppc64le/powerpc/; s/s390x/s390/')

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes
ifdef CI
WARNINGS += -Werror
endif
CFLAGS ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LIBS := -lbpf -lmicrohttpd -lsystemd -linih -ldeflate
LINK := -pie -Wl,-z,relro,-z,now

BPF := $(wildcard bpf/*.bpf.c)
SKELETONS := $(BPF:bpf/%.bpf.c=$(BUILD)/%.skel.h)
SOURCES := $(wildcard daemon/*.c daemon/*/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/release/%.o)
CHECKED := $(filter-out daemon/main.c,$(SOURCES))
CHECKED_OBJECTS := $(CHECKED:%.c=$(BUILD)/checked/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
TOOLS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(filter-out %.bpf.c, \
	$(wildcard tests/system/*.c tests/bench/*.c)))
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

all: $(BUILD)/dropscoped

# Installs what is missing, as root; says what to do otherwise.
deps:
	@packaging/dependencies

run: deps
	$(MAKE) $(BUILD)/dropscoped
	$(BUILD)/dropscoped --config config/dropscoped.conf

test: deps
	$(MAKE) check

check: all unit-tests tools
	@tests/run $(BUILD)

bench: deps
	$(MAKE) all tools
	@tests/bench/run $(BUILD)

unit-tests: $(UNIT_TESTS)
tools: $(TOOLS)

# The kernel side: object, then skeleton. Debug info of the kernel's own types is not needed for CO-RE.
$(BUILD)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) \
		-I/usr/include/$(shell uname -m)-linux-gnu -Ibpf $(WARNINGS) -Wno-unused-parameter \
		-Wno-missing-prototypes -Werror -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp
	mv $@.tmp $@

$(BUILD)/release/%.o: %.c | $(SKELETONS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 $(CFLAGS) $(HARDENING) $(WARNINGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/dropscoped: $(OBJECTS)
	$(CC) $(CFLAGS) $(LINK) $(LDFLAGS) $^ -o $@ $(LIBS)

# The same sources under the sanitizers, and one program per test file.
$(BUILD)/checked/%.o: %.c | $(SKELETONS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -g -O1 $(SANITIZE) $(WARNINGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/checked/libdropscope.a: $(CHECKED_OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

# -Werror: a test function that is in no list is an unused function, and fails the build.
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/checked/libdropscope.a $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -g -O1 $(SANITIZE) $(WARNINGS) -Werror $(CPPFLAGS) -Idaemon $< \
		$(BUILD)/checked/libdropscope.a -o $@ -lcmocka -lcjson -lz $(LIBS)

BENCH_SKELETONS := $(patsubst tests/%.bpf.c,$(BUILD)/tests/%.skel.h,$(wildcard tests/bench/*.bpf.c))

$(BUILD)/tests/bench/%.skel.h: tests/bench/%.bpf.c $(wildcard tests/bench/*.h bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) \
		-I/usr/include/$(shell uname -m)-linux-gnu -Ibpf -I. -c $< -o $(@D)/$*.bpf.o
	$(BPFTOOL) gen skeleton $(@D)/$*.bpf.o name $*_bpf > $@.tmp
	mv $@.tmp $@

$(BUILD)/tests/bench/probecost: $(BENCH_SKELETONS)

$(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -g $(WARNINGS) -Werror $(CPPFLAGS) -I$(@D) $< -o $@ -lbpf -lpthread -lm

.SECONDARY:

# The README's table of metrics is the program's own.
readme: all
	@$(BUILD)/dropscoped --list-metrics > $(BUILD)/metrics.md
	sed -i -e '/^<!-- metrics: begin -->$$/,/^<!-- metrics: end -->$$/{/^|/d;/^$$/d}' \
		-e '/^<!-- metrics: begin -->$$/r $(BUILD)/metrics.md' README.md

install: all
	install -D -m 755 $(BUILD)/dropscoped $(DESTDIR)$(PREFIX)/sbin/dropscoped
	install -D -m 644 config/dropscoped.conf $(DESTDIR)/etc/dropscope/dropscoped.conf
	install -D -m 644 systemd/dropscoped.service \
		$(DESTDIR)/lib/systemd/system/dropscoped.service

format:
	clang-format -i $(SOURCES) $(wildcard daemon/*.h daemon/*/*.h tests/unit/*.[ch])

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(CHECKED_OBJECTS:.o=.d)
.PHONY: all deps run test check bench unit-tests tools readme install format clean
.DELETE_ON_ERROR:
