# sipvouch: every target does its own set-up; a Rust toolchain and make are all that must be there.

CARGO ?= cargo
# How long `make fuzz` runs one target, in seconds, and which ones.
FUZZ_SECONDS ?= 600
T ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
# How many reloads `make soak` sends.
RELOADS ?= 10000
# How many calls, and how many registrations over each kind of transport, it makes.
CALLS ?= 20000
REGISTRATIONS ?= 100000

.PHONY: run demo test check bench fuzz sample-config man soak

# A server on loopback, TLS port 5061 and TCP port 5060; says what to try.
run: demo
	scripts/install-build-needs
	$(CARGO) build --release --locked
	@cat demo/TRY
	exec target/release/sipvouch demo/repro.config

demo:
	scripts/install-build-needs
	scripts/make-demo demo

# Everything that must hold before a change is taken, foreign peers installed first.
test:
	scripts/install-test-peers
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked

# The same without installing anything, and the documentation.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps

# Cost per operation beside a bare loop over OpenSSL, from one run.
bench:
	scripts/install-build-needs
	$(CARGO) bench --locked --bench admit --bench again --bench parse --bench store --bench server

# make fuzz T=message FUZZ_SECONDS=60; all targets without T. Not part of the build.
fuzz:
	scripts/install-build-needs
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	set -e; for target in $(T); do \
	  mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS); \
	done

# conf/repro.config as the table of settings has it; fails when the file was not that.
sample-config:
	scripts/install-build-needs
	$(CARGO) run --locked --quiet -- settings --sample > conf/repro.config.new
	@if cmp -s conf/repro.config conf/repro.config.new; then rm conf/repro.config.new; \
	else mv conf/repro.config.new conf/repro.config; echo 'conf/repro.config was not up to date; it is now'; exit 1; fi

# Manual pages and completions as the tree of commands has them. That of the program, docs/man/sipvouch.1, is written by hand.
man:
	scripts/install-build-needs
	mkdir -p docs/man conf/completions
	$(CARGO) run --locked --quiet -- man --dir docs/man
	$(CARGO) run --locked --quiet -- completions bash > conf/completions/sipvouch.bash
	$(CARGO) run --locked --quiet -- completions zsh > conf/completions/_sipvouch
	$(CARGO) run --locked --quiet -- completions fish > conf/completions/sipvouch.fish

# The long runs: ten thousand reloads under traffic, many calls and registrations over all transports.
soak:
	scripts/install-test-peers
	SIPVOUCH_RELOADS=$(RELOADS) $(CARGO) test --locked --test integration -- reloads_under_traffic
	SIPVOUCH_CALLS=$(CALLS) SIPVOUCH_REGISTRATIONS=$(REGISTRATIONS) \
	  $(CARGO) test --locked --test integration -- load::
