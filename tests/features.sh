#!/bin/sh
# `features.sh all`: every Rust test with every feature. `features.sh each`: each feature set alone.
set -eu
cd "$(dirname "$0")/.."

# A documentation example is linked without our search path for libpython, which need not be a system's.
export PYO3_PYTHON="${PYO3_PYTHON:-$(cat .cache/python)}"
libdir=$("$PYO3_PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

cargo() {
    printf '\n== cargo %s\n' "$*"
    command cargo "$@"
}

# One feature set of one crate: warnings are errors, tests pass.
try() {
    package=$1 features=$2
    cargo clippy -p "$package" --all-targets --no-default-features --features "$features" -- -D warnings
    cargo test -p "$package" --no-default-features --features "$features"
}

case ${1:-} in
all)
    cargo test --workspace --all-features
    ;;
each)
    try stomp-wsgi-reactors conformance
    for reactor in thread-pool tokio mio async-std; do
        try stomp-wsgi-reactors "conformance,$reactor"
        try stomp-wsgi "cli,broker,reactor-$reactor"
        try stomp-wsgi "cli,broker,python,reactor-$reactor"
    done
    try stomp-wsgi ""
    for feature in cli bench broker python tls; do
        cargo clippy -p stomp-wsgi --all-targets --no-default-features --features $feature -- -D warnings
    done
    ;;
*)
    echo "usage: $0 all|each" >&2
    exit 2
    ;;
esac
