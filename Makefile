# SPDX-License-Identifier: BSD-2-Clause
# make run and make test are all that is needed on a fresh machine; see README.md.

VERSION := $(shell sed -n 's/.*DROPSCOPE_VERSION "\(.*\)"/\1/p' daemon/version.h)
BUILD ?= build
CC ?= gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool /sbin/bpftool) bpftool)
HOST_ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/; s/ppc64le/powerpc/; s/s390x/s390/')
ARCH := $(HOST_ARCH)
# By whatever name it is asked for.
override ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(patsubst amd64,x86,$(ARCH))))
CROSS := aarch64-linux-gnu-

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes
ifdef CI
WARNINGS += -Werror
endif
CFLAGS ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD) -DBUILD_DIRECTORY='"$(BUILD)"'
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LIBS := -lbpf -lmicrohttpd -lsystemd -linih -ldeflate
# Constants each in a section of their own, sorted: the programs for the kernel, large string literals, lie together, and
# not between the constants of each scrape, whose neighbourhood the kernel maps with them.
LAYOUT := -fdata-sections
LINK := -pie -Wl,-z,relro,-z,now -Wl,--sort-section=name
# The same objects wherever the tree lies: their debug information goes into the daemon.
BPF_FLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) \
	-I/usr/include/$(shell uname -m)-linux-gnu -Ibpf -ffile-prefix-map=$(CURDIR)=.

BPF := $(wildcard bpf/*.bpf.c)
SKELETONS := $(BPF:bpf/%.bpf.c=$(BUILD)/%.skel.h)
SOURCES := $(wildcard daemon/*.c daemon/*/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/release/%.o)
CHECKED := $(filter-out daemon/main.c,$(SOURCES))
CHECKED_OBJECTS := $(CHECKED:%.c=$(BUILD)/checked/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
TOOLS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(filter-out %.bpf.c, \
	$(wildcard tests/system/*.c tests/bench/*.c tests/kernels/*.c)))
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# As many at a time as there are CPUs, unless the user says otherwise.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

all: $(BUILD)/dropscoped

# Installs what is missing, as root; says what to do otherwise.
deps:
	@packaging/dependencies

run: deps
	$(MAKE) $(JOBS) $(BUILD)/dropscoped
	$(BUILD)/dropscoped --config config/dropscoped.conf

test: deps
	@packaging/dependencies rpm deb lint service kernels
	$(MAKE) $(JOBS) all unit-tests tools
	$(MAKE) check

check: all unit-tests tools
	@tests/run $(BUILD)

# What needs neither root nor BPF: the check of a package's build.
check-unit: unit-tests
	@tests/run $(BUILD) unit

bench: deps
	$(MAKE) $(JOBS) all tools
	@tests/bench/run $(BUILD)

# Every kernel from 5.10 on, emulated. ARCH=arm64: cross-compiled, against packages of that architecture.
ifeq ($(ARCH),$(HOST_ARCH))
kernels: deps
	@packaging/dependencies kernels
	$(MAKE) $(JOBS) all tools
	@BUILD=$(BUILD) tests/kernels/run bullseye bookworm trixie sid
else
kernels: deps
	@packaging/dependencies kernels $(ARCH)
	@mkdir -p $(BUILD)
	@tests/kernels/sysroot $(ARCH) > $(BUILD)/sysroot.$(ARCH)
	$(MAKE) $(JOBS) BUILD=$(BUILD)/$(ARCH) CC="$(CROSS)gcc --sysroot=$$(cat $(BUILD)/sysroot.$(ARCH))" all tools
	@BUILD=$(BUILD)/$(ARCH) ROOT=$$(cat $(BUILD)/sysroot.$(ARCH)) ARCH=$(ARCH) \
		tests/kernels/run bullseye bookworm trixie sid
endif

unit-tests: $(UNIT_TESTS)
tools: $(TOOLS)

# The kernel side: object, then skeleton. Debug info of the kernel's own types is not needed for CO-RE.
$(BUILD)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_FLAGS) $(WARNINGS) -Wno-unused-parameter -Wno-missing-prototypes -Werror \
		-c $< -o $@
	$(LLVM_STRIP) -g $@

# Those that are another one, compiled otherwise.
$(patsubst %,$(BUILD)/%_raw.bpf.o,drops receive retransmit): $(BUILD)/%_raw.bpf.o: bpf/%.bpf.c
$(patsubst %,$(BUILD)/%.bpf.o,block_raw block_hash block_hash_raw): bpf/block.bpf.c

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp
	mv $@.tmp $@

# The hints in the program are strings in place: lines that end in NUL.
$(BUILD)/hints.bin: config/hints.conf
	@mkdir -p $(@D)
	tr '\n' '\0' < $< > $@

$(patsubst %,$(BUILD)/%/daemon/kernel/hints.o,release checked): $(BUILD)/hints.bin
$(patsubst %,$(BUILD)/%/daemon/web/page.o,release checked): daemon/web/index.html

$(BUILD)/release/%.o: %.c | $(SKELETONS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 $(CFLAGS) $(LAYOUT) $(HARDENING) $(WARNINGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

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
	$(CLANG) $(BPF_FLAGS) -I. -c $< -o $(@D)/$*.bpf.o
	$(BPFTOOL) gen skeleton $(@D)/$*.bpf.o name $*_bpf > $@.tmp
	mv $@.tmp $@

$(BUILD)/tests/bench/probecost: $(BENCH_SKELETONS)

# With modules of the daemon.
$(BUILD)/tests/kernels/enter: $(patsubst %,$(BUILD)/release/daemon/kernel/%.o,btf features gate)

$(BUILD)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -g $(WARNINGS) -Werror $(CPPFLAGS) -I$(@D) $< $(filter %.o,$^) -o $@ -lbpf -lpthread -lm

.SECONDARY:

# The README's table of metrics is the program's own.
readme: all
	@$(BUILD)/dropscoped --list-metrics > $(BUILD)/metrics.md
	sed -i -e '/^<!-- metrics: begin -->$$/,/^<!-- metrics: end -->$$/{/^|/d;/^$$/d}' \
		-e '/^<!-- metrics: begin -->$$/r $(BUILD)/metrics.md' README.md

# Where the files go, for the packages too. DROPINS are for machines that need them, e.g.
# DROPINS=systemd/el8.conf.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
SHAREDIR ?= $(PREFIX)/share
MANDIR ?= $(SHAREDIR)/man
DOCDIR ?= $(SHAREDIR)/doc/dropscope
UNITDIR ?= $(PREFIX)/lib/systemd/system
CONFDIR ?= /etc/dropscope
DROPINS ?=

# install_into DIRECTORY,FILES
install_into = $(if $(strip $(2)),install -d -m 755 $(DESTDIR)$(1) && \
	install -m 644 $(2) $(DESTDIR)$(1))

install: $(BUILD)/dropscoped
	install -D -m 755 $< $(DESTDIR)$(SBINDIR)/dropscoped
	$(call install_into,$(CONFDIR),config/dropscoped.conf)
	install -d -m 755 $(DESTDIR)$(CONFDIR)/hints.d $(DESTDIR)$(SHAREDIR)/dropscope
	$(call install_into,$(SHAREDIR)/dropscope,$(wildcard config/hints.conf))
	$(call install_into,$(SHAREDIR)/dropscope/prometheus,$(filter-out %_test.yml, \
		$(wildcard packaging/prometheus/*.yml)))
	$(call install_into,$(SHAREDIR)/dropscope/grafana,$(wildcard packaging/grafana/*.json))
	$(call install_into,$(UNITDIR),$(wildcard systemd/*.service systemd/*.socket))
	$(if $(DROPINS),$(call install_into,$(UNITDIR)/dropscoped.service.d,$(DROPINS)))
	sed -i -e 's|/usr/sbin/dropscoped|$(SBINDIR)/dropscoped|' \
		-e 's|/etc/dropscope/|$(CONFDIR)/|' $(DESTDIR)$(UNITDIR)/dropscoped.service
	$(call install_into,$(MANDIR)/man5,$(wildcard docs/man/*.5))
	$(call install_into,$(MANDIR)/man8,$(wildcard docs/man/*.8))
	$(call install_into,$(DOCDIR),README.md $(wildcard docs/*.md))
	$(call install_into,$(SHAREDIR)/bash-completion/completions,packaging/completion/dropscoped)

# Packages of the files that git tracks, as they are in the working tree, in $(BUILD)/packages.
rpm deb:
	@packaging/dependencies $@
	@packaging/build $@ $(BUILD)

format:
	clang-format -i $(SOURCES) $(wildcard daemon/*.h daemon/*/*.h tests/unit/*.[ch])

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(CHECKED_OBJECTS:.o=.d)
.PHONY: all deps run test check check-unit bench kernels unit-tests tools readme install rpm deb format clean
.DELETE_ON_ERROR:
