#!/bin/sh
# Fuzzes each target for FUZZ_TIME seconds, or those of FUZZ_TARGETS only.
set -eu
cd "$(dirname "$0")/.."

needs() {
    echo "make fuzz needs $1; get it with: $2" >&2
    exit 1
}
cargo +nightly --version >/dev/null 2>&1 || needs "a nightly compiler" "rustup toolchain install nightly"
cargo fuzz --version >/dev/null 2>&1 || needs "cargo-fuzz" "cargo install cargo-fuzz"

# As one build: each target alone would link the same again.
cargo +nightly fuzz build
for target in ${FUZZ_TARGETS:-$(cargo fuzz list)}; do
    printf '\n== %s\n' "$target"
    # What is found along the way is kept apart from the corpus, which stays small.
    mkdir -p ".cache/fuzz/$target"
    cargo +nightly fuzz run "$target" ".cache/fuzz/$target" "fuzz/corpus/$target" -- \
        -dict=fuzz/stomp.dict -rss_limit_mb=512 -max_len=65536 -timeout=10 -max_total_time="${FUZZ_TIME:-60}"
done
