//! `--login`, `--passcode-file`: who we are to the broker, told where no process list shows it.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, builder::NonEmptyStringValueParser, parser::ValueSource};

use super::{Exit, Failed};
use crate::uri::Brokers;

const PASSCODE: &str = "STOMP_WSGI_PASSCODE";
/// systemd's name for it: `LoadCredential=stomp-wsgi-passcode:/etc/...`.
const CREDENTIAL: &str = "stomp-wsgi-passcode";
/// No passcode is longer, not even a token in its place: a header that ActiveMQ takes has 10 KiB.
const LONGEST: usize = 16 << 10;

#[derive(Debug, Args)]
pub(super) struct Credentials {
    /// The user, where --broker names none. The passcode is best told by STOMP_WSGI_PASSCODE, or by a file
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_LOGIN", value_parser = NonEmptyStringValueParser::new())]
    login: Option<String>,
    /// The passcode is in this file [default: systemd's credential stomp-wsgi-passcode]
    #[arg(long, value_name = "FILE", env = "STOMP_WSGI_PASSCODE_FILE")]
    passcode_file: Option<PathBuf>,
}

impl Credentials {
    /// Whether somebody said so here; a passcode in the environment may be there for others.
    #[cfg(any(feature = "python", feature = "bench"))]
    pub(super) fn are_given(&self) -> bool {
        self.login.is_some() || self.passcode_file.is_some()
    }

    /// Completes what the URI leaves out.
    pub(super) fn apply(&self, brokers: &mut Brokers) -> anyhow::Result<()> {
        let passcode = self.passcode().map_err(|why| Failed::new(Exit::Usage, why))?;
        for address in &mut brokers.addresses {
            if address.login.is_none() {
                address.login.clone_from(&self.login);
            }
            if address.passcode.is_none() {
                address.passcode.clone_from(&passcode);
            }
            if address.passcode.is_some() && address.login.is_none() {
                let why = format!("there is a passcode and no user for {address}: say which with --login");
                return Err(Failed::new(Exit::Usage, why).into());
            }
        }
        Ok(())
    }

    fn passcode(&self) -> Result<Option<String>, String> {
        if let Some(file) = &self.passcode_file {
            return read(file).map(Some).map_err(|why| format!("--passcode-file {}: {why}", file.display()));
        }
        if let Some(passcode) = env::var_os(PASSCODE).filter(|passcode| !passcode.is_empty()) {
            return passcode.into_string().map(Some).map_err(|_| format!("{PASSCODE} is not UTF-8"));
        }
        match env::var_os("CREDENTIALS_DIRECTORY").map(|directory| Path::new(&directory).join(CREDENTIAL)) {
            Some(file) if file.exists() => {
                read(&file).map(Some).map_err(|why| format!("{}: {why}", file.display()))
            }
            _ => Ok(None),
        }
    }
}

/// The one line of a file.
fn read(file: &Path) -> Result<String, String> {
    let mut octets = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut octets));
    read.map_err(|error| error.to_string())?;
    if octets.len() > LONGEST {
        return Err(format!("it is too long for a passcode, which has at most {LONGEST} octets"));
    }
    if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW".to_owned());
    }
    let text = String::from_utf8(octets).map_err(|_| "it is not UTF-8".to_owned())?;
    // Editors on Windows write this mark at the beginning of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\n', '\r', '\0']) {
        return Err("it must hold the passcode alone, on one line".to_owned());
    }
    Ok(line.to_owned())
}

/// Begins anew where the command line has a password in it, with that in the environment. Everybody may read
/// a process's arguments, while its environment is for its own user. It stays the same process.
///
/// Returns where there is nothing to hide, or, with the reason, where it cannot be hidden.
pub(super) fn hide(matches: &ArgMatches) -> Result<(), String> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(()) };
    let Ok(Some(uri)) = matches.try_get_one::<String>("broker") else { return Ok(()) };
    if !may_have_passcode(uri) || matches.value_source("broker") != Some(ValueSource::CommandLine) {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    restart(&name, &without(arguments, uri), uri)
}

/// Ends the process as clap does, without showing a URI that stands where it does not belong.
pub(super) fn exit(error: &clap::Error) -> ! {
    let told = error.to_string();
    let safe = censored(&told, env::args_os().filter_map(|argument| argument.into_string().ok()));
    if safe != told {
        eprint!("{safe}");
        std::process::exit(error.exit_code());
    }
    error.exit()
}

fn censored(told: &str, arguments: impl Iterator<Item = String>) -> String {
    arguments.filter(|argument| argument.contains("://") && may_have_passcode(argument)).fold(
        told.to_owned(),
        |told, argument| {
            let value = argument.split_once('=').filter(|(name, _)| name.starts_with("--"));
            told.replace(value.map_or(&*argument, |(_, value)| value), "(not shown, for the password in it)")
        },
    )
}

/// Whether a URI has one in it, as far as can be seen.
fn may_have_passcode(uri: &str) -> bool {
    uri.contains('@') || uri.to_ascii_lowercase().contains("pass")
}

/// The arguments without `--broker URI` or `--broker=URI`.
fn without(arguments: impl Iterator<Item = OsString>, uri: &str) -> Vec<OsString> {
    let (mut arguments, joined) = (arguments.peekable(), format!("--broker={uri}"));
    let mut rest = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--broker" && arguments.peek().is_some_and(|next| next == uri) {
            arguments.next();
        } else if argument != *joined {
            rest.push(argument);
        }
    }
    rest
}

#[cfg(unix)]
fn restart(name: &OsString, arguments: &[OsString], uri: &str) -> Result<(), String> {
    use std::{os::unix::process::CommandExt, process::Command};
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let error = Command::new(program).arg0(name).args(arguments).env("STOMP_WSGI_BROKER", uri).exec();
    Err(error.to_string())
}

#[cfg(not(unix))]
fn restart(_: &OsString, _: &[OsString], _: &str) -> Result<(), String> {
    Err("not on this system".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_in_the_wrong_place_is_not_shown() {
        for argument in ["stomp://bob:secret@h", "--threads=failover:(tcp://bob:secret@h)?randomize=true"] {
            let value = argument.trim_start_matches("--threads=");
            let told = format!("error: invalid value '{value}' for '--threads <N>'");
            let safe = censored(&told, ["serve".to_owned(), argument.to_owned()].into_iter());
            assert_eq!(
                safe,
                "error: invalid value '(not shown, for the password in it)' for '--threads <N>'"
            );
        }
        assert_eq!(censored("'stomp://h'", ["stomp://h".to_owned()].into_iter()), "'stomp://h'");
    }

    #[test]
    fn a_passcode_file_has_one_line_whatever_editor_wrote_it() {
        let file = env::temp_dir().join(format!("stomp-wsgi-passcode-{}", std::process::id()));
        for (content, passcode) in [
            (&b"s3cret"[..], Ok("s3cret")),
            (b"s3cret\n", Ok("s3cret")),
            (b"\xef\xbb\xbfs3cret\r\n", Ok("s3cret")),
            (b" a\\b\n", Ok(" a\\b")),
            (b"\xff\xfes\x003\x00", Err("UTF-16")),
            (b"s\xff", Err("not UTF-8")),
            (b"one\ntwo\n", Err("on one line")),
            (b"\n", Err("on one line")),
            (&[b'x'; LONGEST + 1], Err("too long")),
        ] {
            std::fs::write(&file, content).unwrap();
            match (read(&file), passcode) {
                (Ok(found), Ok(passcode)) => assert_eq!(found, passcode),
                (Err(found), Err(why)) => assert!(found.contains(why) && !found.contains("s3"), "{found}"),
                (found, _) => panic!("{content:?}: {found:?}"),
            }
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_the_uri_is_taken_off_the_command_line() {
        let uri = "stomp://bob:secret@h";
        for (given, left) in [
            (
                &["serve", "app", "--broker", uri, "--threads", "2"][..],
                &["serve", "app", "--threads", "2"][..],
            ),
            (&["serve", "--broker=stomp://bob:secret@h", "app"], &["serve", "app"]),
            (
                &["call", "-d", "--broker", "--broker", uri, "GET", "/"],
                &["call", "-d", "--broker", "GET", "/"],
            ),
        ] {
            assert_eq!(without(given.iter().map(OsString::from), uri), left);
        }
    }
}
