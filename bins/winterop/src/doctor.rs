//! `winterop doctor`: everything on the way from exec to Windows, looked at.

use crate::say::say;
use anyhow::Result;
use clap::Args;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use winterop_doctor::{CHECKS, Care, Context, Output, Reader, Report, examine};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop doctor                    everything from exec to Windows\n  \
    winterop doctor ./tool.exe         and what the kernel does with this file\n  \
    winterop doctor --fix              mends what can be mended safely\n\n\
    Exits 0 if nothing is wrong, else 1. ✓ is well, ✗ is wrong, – is worth knowing.")]
pub(crate) struct Arguments {
    /// A program to look at too.
    program: Option<PathBuf>,
    /// Mend what can be mended without losing anything, and say what was done.
    #[arg(long)]
    fix: bool,
    /// Print JSON for scripts; docs/doctor.md has the keys.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let context = Context::new(arguments.program.clone());
    let care = if arguments.fix { Care::Mend } else { Care::Look };
    let reader = match (arguments.json, std::io::stdout().is_terminal()) {
        (true, _) => Reader::Script,
        (false, true) => Reader::Person(Output::Terminal),
        (false, false) => Reader::Person(Output::Other),
    };
    let mut report = Report::new(reader);
    for check in CHECKS {
        let text = report.add(&examine(check, &context, care, &say));
        let mut output = std::io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    let is_well = report.is_well();
    println!("{}", report.end(&context));
    Ok(ExitCode::from(u8::from(!is_well)))
}
