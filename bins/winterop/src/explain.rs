//! `winterop explain`: what an error's identifier means.

use anyhow::Result;
use clap::Args;
use std::process::ExitCode;
use winterop_words::{CATALOGUE, Entry, Failure, find};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop explain no-server\n  \
    winterop explain              all of them, a line each")]
pub(crate) struct Arguments {
    /// The identifier, with or without its brackets.
    id: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Some(id) = &arguments.id else {
        CATALOGUE.iter().for_each(|entry| println!("{:22} {}", entry.id, about(entry)));
        return Ok(ExitCode::SUCCESS);
    };
    let id = id.trim_matches(['[', ']']);
    let Some(entry) = find(id) else {
        return Err(Failure::NoIdentifier { id: &id }.words().into());
    };
    println!("{}\n", about(entry));
    println!("The line:     {}", entry.line());
    println!("What to do:   {}", entry.advice);
    println!("Exit status:  {}", entry.kind.status());
    Ok(ExitCode::SUCCESS)
}

fn about(entry: &Entry) -> String {
    entry.about.split_whitespace().collect::<Vec<_>>().join(" ")
}
