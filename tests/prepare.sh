#!/bin/sh
# Brings along what is missing: `prepare.sh demo` what runs, `prepare.sh test` what tests as well,
# `prepare.sh brokers` the brokers alone, `prepare.sh suites` other people's test suites, `prepare.sh peers` what
# `make peers` compares with, `prepare.sh root RELEASE DIRECTORY PACKAGES` a root directory of another Debian.
# Packages of the system are installed only by root, and only by apt-get. What cannot be had is named
# in .cache/left-out, which `prepare.sh summary` shows.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
left_out=.cache/left-out
mkdir -p .cache

say() { printf '%s\n' "prepare: $*" >&2; }

leave_out() {
    say "LEFT OUT: $*"
    printf '%s\n' "$*" >>"$left_out"
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Installs packages. No service is started: the tests run brokers of their own.
apt_install() {
    may_install || return 1
    say "apt-get install $*"
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
    fi
    status=1
    for refresh in no yes; do
        if [ $refresh = yes ] || ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
            apt-get update -qq || true
        fi
        if RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >.cache/apt.log 2>&1; then
            status=0
            break
        fi
    done
    [ -z "$made" ] || rm -f "$policy"
    [ $status = 0 ] || tail -n 20 .cache/apt.log >&2
    return $status
}

# Whether $1 is a Python that a binary can embed and a virtual environment can be made of.
embeddable() {
    "$1" - >/dev/null 2>&1 <<'PY'
import ensurepip, pathlib, sys, sysconfig, venv
var = sysconfig.get_config_var
library = pathlib.Path(var("LIBDIR") or "/", var("LDLIBRARY") or "none")
sys.exit(not (sys.version_info >= (3, 9) and var("Py_ENABLE_SHARED") and library.exists()))
PY
}

find_python() {
    for candidate in ${PYTHON:-} python3.11 /usr/bin/python3.11 python3 /usr/bin/python3; do
        if embeddable "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

prepare_venv() {
    if ! embeddable $venv/bin/python; then
        if ! python=$(find_python); then
            # Debian's, where the interpreter at hand has no library to link with.
            apt_install python3.11 python3.11-venv libpython3.11-dev ||
                apt_install python3 python3-venv libpython3-dev || true
            python=$(find_python) || {
                say "no Python with a shared library (libpython3.x.so) and the venv module was found."
                say "On Debian or Ubuntu: apt-get install python3.11 python3.11-venv libpython3.11-dev"
                say "With pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.11"
                say "Or name one: PYTHON=/path/to/python make ..."
                exit 1
            }
        fi
        say "$venv from $("$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"
        rm -rf $venv
        "$python" -m venv $venv
    fi
    $venv/bin/python -c 'import sys; print(sys._base_executable)' >.cache/python
}

# Installs the requirements in $1, once for each state of the files.
pip_install() {
    stamp=$venv/.installed-$(cat "$1" examples/requirements.txt | cksum | tr -d ' ')-$(basename "$(dirname "$1")")
    [ -e "$stamp" ] && return 0
    say "pip install -r $1"
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r "$1"
    touch "$stamp"
}

prepare_rust() {
    command -v cargo >/dev/null || {
        say "no cargo: install Rust 1.85 or later, see https://rustup.rs"
        exit 1
    }
    command -v cc >/dev/null || apt_install gcc libc6-dev || {
        say "no C compiler (cc), which Rust links with"
        exit 1
    }
}

prepare_rust_tools() {
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

prepare_brokers() {
    missing=
    [ -d /usr/share/activemq/lib ] && command -v java >/dev/null || missing="activemq"
    [ -d /usr/lib/rabbitmq/lib ] && command -v epmd >/dev/null || missing="$missing rabbitmq-server"
    # shellcheck disable=SC2086 # a list
    [ -z "$missing" ] || apt_install $missing || for package in $missing; do
        apt_install "$package" || leave_out "tests against $package: not installed; as root: apt-get install $package"
    done
    # For the JMS client of tests/jvm.
    command -v javac >/dev/null || apt_install default-jdk-headless || leave_out "tests with JMS: no javac (default-jdk-headless)"
}

# Brokers that Debian 12 does not have, into .cache/brokers: each once, for its stamp.
prepare_fetched_brokers() {
    at=.cache/brokers
    mkdir -p $at
    fetch_broker activemq-6 "$(cksum <tests/jvm/activemq-6/pom.xml | tr -d ' ')" fetch_activemq_6 ||
        leave_out "tests against ActiveMQ 6: Maven is missing (apt-get install maven), or its repository cannot be reached"
    fetch_broker artemis $artemis_version fetch_artemis ||
        leave_out "tests against Artemis: Maven is missing (apt-get install maven), or its repository cannot be reached"
    rm -f $at/.out-of-reach-rabbitmq-4
    fetch_broker rabbitmq-4 $rabbitmq_suite fetch_rabbitmq_4 || {
        roots_are_out_of_reach || exit 1
        leave_out "tests against RabbitMQ 4: only root can make its root directory, with mmdebstrap and Debian's mirror at hand"
        touch $at/.out-of-reach-rabbitmq-4
    }
    # No broker, but libraries for tests of callers.
    fetch_broker jvm-callers "$(cksum <tests/jvm/callers/pom.xml | tr -d ' ')" fetch_jvm_callers ||
        leave_out "tests with callers on Jakarta JMS, Spring and Camel: Maven is missing (apt-get install maven), or its repository cannot be reached"
}

# Has the function $3 fetch the broker $1, unless its stamp says that $2 is there.
fetch_broker() {
    stamp=$at/.fetched-$1-$2
    [ -e "$stamp" ] && return 0
    say "$1, into $at"
    # Twice, since a mirror can fail for a moment.
    for _ in first second; do
        rm -rf "$at/.fetched-$1"-* "${at:?}/$1"
        $3 >.cache/fetch.log 2>&1 && touch "$stamp" && return 0
    done
    tail -n 5 .cache/fetch.log >&2
    rm -rf "${at:?}/$1"
    return 1
}

maven() { command -v mvn >/dev/null || apt_install maven && mvn --quiet --batch-mode "$@"; }

fetch_activemq_6() {
    maven -f tests/jvm/activemq-6/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$PWD/$at/activemq-6"
}

fetch_jvm_callers() {
    maven -f tests/jvm/callers/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$PWD/$at/jvm-callers"
}

artemis_version=2.40.0
fetch_artemis() {
    archive=apache-artemis-$artemis_version-bin.tar.gz
    maven dependency:copy -Dartifact=org.apache.activemq:apache-artemis:$artemis_version:tar.gz:bin \
        -DoutputDirectory="$PWD/$at" &&
        mkdir $at/artemis && tar -xzf $at/$archive -C $at/artemis --strip-components 1 && rm $at/$archive
}

# Its Erlang is newer than Debian 12's, so it has a root directory of its own.
rabbitmq_suite=trixie
fetch_rabbitmq_4() { make_root $rabbitmq_suite $at/rabbitmq-4 rabbitmq-server; }

# The root directory $2 of the Debian release $1, with the packages $3 (divided by commas). Programs run in it by chroot.
make_root() {
    [ "$(id -u)" = 0 ] && unshare --mount true || return 1
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap || return 1
    # Indices of a release that is no longer renewed have expired.
    mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' --include="$3" "$1" "$2"
}

# Whether this machine can make no root directory at all. On CI, where it can, a package that was not had is a failure.
roots_are_out_of_reach() {
    [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && unshare --mount true && command -v mmdebstrap >/dev/null || return 0
    mmdebstrap --mode=root --simulate --variant=essential $rabbitmq_suite /dev/null >/dev/null 2>&1 || return 0
    say "Debian's mirror is there, but not what was to be had of it"
    return 1
}

# Other people's test suites: their sources, unpacked, and an environment of their own.
prepare_suites() {
    at=.cache/suites
    stamp=$at/.installed-$(cat tests/suites/sources.txt tests/suites/requirements.txt .cache/python | cksum | tr -d ' ')
    [ -e "$stamp" ] && return 0
    say "test suites of Falcon, Flask and httpbin, into $at"
    pip="$at/venv/bin/python -m pip --quiet --disable-pip-version-check"
    rm -rf $at
    "$(cat .cache/python)" -m venv $at/venv &&
        $pip install --no-deps -r tests/suites/requirements.txt &&
        $pip download --no-deps --no-binary falcon,flask,httpbin -r tests/suites/sources.txt --dest $at &&
        FALCON_DISABLE_CYTHON=Y $pip install --no-deps $at/*.tar.gz &&
        for source in $at/*.tar.gz; do tar -xzf "$source" -C $at || return 1; done &&
        touch "$stamp"
}

# What benches/peers compares with: servers in an environment of their own, wrk, and what a servlet on JMS needs.
# The program itself names what is missing, and compares the rest.
prepare_peers() {
    at=.cache/peers
    stamp=$at/.installed-$(cat benches/peers/requirements.txt .cache/python | cksum | tr -d ' ')
    [ -e "$stamp" ] && return 0
    # bjoern is made with libev.
    for package in wrk libev-dev libservlet-api-java libactivemq-java; do
        dpkg -s "$package" >/dev/null 2>&1 || apt_install "$package" || say "LEFT OUT: $package"
    done
    command -v javac >/dev/null || apt_install default-jdk-headless || say "LEFT OUT: javac"
    say "peers of benches/peers, into $at"
    pip="$at/venv/bin/python -m pip --quiet --disable-pip-version-check"
    rm -rf $at
    "$(cat .cache/python)" -m venv $at/venv
    if $pip install -r benches/peers/requirements.txt; then
        touch "$stamp"
    else
        grep -v '^#' benches/peers/requirements.txt | while read -r peer; do
            $pip install "$peer" || say "LEFT OUT: $peer"
        done
    fi
}

case ${1:-} in
demo)
    prepare_rust
    prepare_venv
    pip_install examples/requirements.txt
    ;;
test)
    rm -f "$left_out"
    prepare_rust
    prepare_rust_tools
    prepare_venv
    pip_install tests/requirements.txt
    prepare_brokers
    prepare_fetched_brokers
    prepare_suites || leave_out "test suites of Falcon, Flask and httpbin: they could not be downloaded"
    ;;
brokers)
    prepare_brokers
    prepare_fetched_brokers
    ;;
suites)
    prepare_suites
    ;;
root)
    # Twice, since a mirror can fail for a moment.
    make_root "$2" "$3" "$4" >.cache/fetch.log 2>&1 || { rm -rf "$3" && make_root "$2" "$3" "$4" >.cache/fetch.log 2>&1; } || {
        tail -n 5 .cache/fetch.log >&2
        rm -rf "$3"
        roots_are_out_of_reach || exit 2
        exit 1
    }
    ;;
peers)
    prepare_brokers
    prepare_peers
    ;;
deny)
    cargo deny --version >/dev/null 2>&1 || {
        leave_out "cargo deny: not installed; cargo install cargo-deny (licences are checked by pytest as well)"
        exit 1
    }
    ;;
valgrind)
    command -v valgrind >/dev/null || apt_install valgrind || {
        leave_out "limits of instructions: valgrind is not installed; as root: apt-get install valgrind"
        exit 1
    }
    ;;
summary)
    say "all tests passed"
    [ ! -e "$left_out" ] || sed 's/^/prepare: LEFT OUT: /' "$left_out" >&2
    ;;
*)
    say "usage: $0 demo|test|brokers|suites|root|peers|deny|valgrind|summary"
    exit 2
    ;;
esac
