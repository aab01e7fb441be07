//! `stomp-wsgi reactors`: what this build has.

use std::io::{self, Write};

use clap::Args;

use crate::select::{MODELS, default_model};

#[derive(Debug, Args)]
pub(super) struct Reactors {}

impl Reactors {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for model in &MODELS {
            let note = match (model.built, default_model() == Some(model)) {
                (true, true) => " (default)".to_owned(),
                (true, false) => String::new(),
                (false, _) => format!(" (not in this build: feature {})", model.feature),
            };
            writeln!(out, "{:<12} {}{note}", model.name, model.summary)?;
        }
        Ok(())
    }
}
