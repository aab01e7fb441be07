//! Flags that an environment variable switches, too.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{BoolishValueParser, TypedValueParser},
    error::ErrorKind,
};

/// What such a variable takes. Another word neither switches anything on nor leaves it off: who wrote it
/// meant something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switch;

impl TypedValueParser for Switch {
    type Value = bool;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<bool, Error> {
        BoolishValueParser::new().parse_ref(command, arg, value).map_err(|_| {
            let variable = arg.and_then(Arg::get_env).unwrap_or_default().to_string_lossy();
            let option = arg.and_then(Arg::get_long).unwrap_or_default();
            let why = format!(
                "{variable} (--{option}) is {value:?}: it takes true or false, yes or no, on or off, 1 or 0, and y, n, t or f"
            );
            command.clone().error(ErrorKind::ValueValidation, why)
        })
    }
}
