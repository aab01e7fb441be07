#!/bin/sh
# Builds the server with other Pythons, and with the oldest Rust, and runs tests with it: `pythons.sh 3.13 3.14`,
# `pythons.sh all`, or `pythons.sh short`: CPython 3.13 with the oldest Rust, on one reactor. Each is a Debian package of another
# release, so it has a root directory of its own, made by mmdebstrap. That takes root. What cannot be had is named in
# .cache/left-out, as prepare.sh does.
set -eu
cd "$(dirname "$0")/.."
repository=$PWD
left_out=.cache/left-out
at=.cache/pythons
all="3.9 3.13 3.14 3.15 rust"
reactors="thread-pool or mio" compiler="${CARGO_HOME:-$HOME/.cargo}/bin" target=target
mkdir -p $at

say() { printf '%s\n' "pythons: $*" >&2; }

leave_out() {
    say "LEFT OUT: $*"
    printf '%s\n' "$*" >>"$left_out"
}

# The release of Debian that has it, and what else its root directory takes.
release_of() {
    case $1 in
    3.9) echo bullseye ;;
    3.13 | rust) echo trixie ;;
    3.14 | 3.15) echo forky ;;
    *)
        say "no $1: there are $all, and all"
        exit 2
        ;;
    esac
}

packages_of() {
    case $1 in
    bullseye) set -- 3.9 ;;
    trixie) set -- 3.13 cargo ;;
    forky) set -- 3.14 3.15 ;;
    esac
    packages=gcc,libc6-dev,ca-certificates
    for one in "$@"; do
        case $one in
        cargo) packages=$packages,cargo ;;
        *) packages=$packages,python$one-venv,libpython$one-dev ;;
        esac
    done
    echo $packages
}

# The root directory of a release, made once for each list of packages.
prepare_root() {
    release=$1
    packages=$(packages_of "$release")
    stamp=$at/.made-$release-$(printf %s "$packages" | cksum | tr -d ' ')
    [ -e "$stamp" ] && return 0
    say "$release, into $at"
    rm -rf "$at/.made-$release"-* "${at:?}/$release"
    tests/prepare.sh root "$release" "$at/$release" "$packages" || return
    touch "$stamp"
}

cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

# Runs the script $2 in the root directory of the release $1, in the repository, which is at the same place there as here, and so
# are cargo and rustup. What is mounted is seen by this process alone, and goes with it.
within() {
    # shellcheck disable=SC2016 # it is another shell's
    mounts='for it in "$@"; do
        [ -e "$it" ] || continue
        if [ -d "$it" ]; then mkdir -p "$root$it"; else mkdir -p "$root$(dirname "$it")"; touch "$root$it"; fi
        mount --rbind "$it" "$root$it" || exit 1
    done
    exec chroot "$root" sh -euc "cd \"$repository\"; $script"'
    root=$repository/$at/$1 script=$2 repository=$repository unshare --mount sh -c "$mounts" sh \
        /proc /sys /dev /etc/resolv.conf /etc/hosts /etc/ssl/certs /etc/pip.conf "$repository" "$cargo_home" "$rustup_home"
}

# What the tests want. Of what is not for the oldest Python any more, the newest that is.
requirements_of() {
    case $1 in
    3.9) echo "pytest pytest-timeout pytest-xdist trustme flask bottle" ;;
    *) echo "-r tests/requirements.txt" ;;
    esac
}

debian=/usr/bin:/bin

test_python() {
    venv=$at/venv-$1 tests=tests/wsgi
    # What was built with the oldest C library runs with the others, but not the other way round.
    if [ "$1" = 3.9 ] && [ ! -e $at/target/.oldest ]; then
        rm -rf $at/target && mkdir $at/target && touch $at/target/.oldest
    fi
    [ "$1" = 3.9 ] || tests="$tests tests/frameworks/test_contract.py"
    within "$release" "
        export PATH='$compiler${compiler:+:}$debian' RUSTUP_HOME='$rustup_home' CARGO_HOME='$cargo_home'
        [ -e $venv/.installed ] || { rm -rf $venv; python$1 -m venv $venv
            $venv/bin/python -m pip install --quiet $(requirements_of "$1"); touch $venv/.installed; }
        export PYO3_PYTHON=/usr/bin/python$1 CARGO_TARGET_DIR=$at/$target VIRTUAL_ENV='$repository/$venv'
        cargo build --offline --quiet
        STOMP_WSGI='$repository/$at/$target/debug/stomp-wsgi' $venv/bin/python -m pytest -q $tests -k '$reactors'"
}

# The stated minimum, as Debian has it.
test_rust() {
    within "$release" "
        export PATH=$debian CARGO_HOME='$cargo_home' PYO3_PYTHON=/usr/bin/python3.13 CARGO_TARGET_DIR=$at/target-rust
        cargo --version
        cargo test --offline --lib"
}

case "$*" in
all) set -- $all ;;
short)
    # One compiler, so that what both take is built once.
    reactors=mio compiler='' target=target-rust
    set -- rust 3.13
    ;;
esac
[ -n "$*" ] || {
    say "usage: $0 NAME...: $all, short, and all"
    exit 2
}
# In the root directories there is no network to be relied on.
cargo fetch --quiet
failed=
for name in "$@"; do
    release=$(release_of "$name")
    what="Python $name"
    [ "$name" != rust ] || what="Rust 1.85"
    prepare_root "$release" || {
        # On CI it must be made where it can be.
        [ $? != 2 ] || exit 1
        leave_out "$what: only root can make its root directory, with mmdebstrap and Debian's mirror at hand"
        continue
    }
    say "$what, of $release"
    if [ "$name" = rust ]; then test_rust; else test_python "$name"; fi || failed="$failed $name"
done
[ -z "$failed" ] || {
    say "failed:$failed"
    exit 1
}
