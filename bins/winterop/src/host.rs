//! `winterop host`: the user's host is started, ended and looked at.

use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use winterop_serve::own_host::{self, Stopped};
use winterop_wslhost::{serve_in_foreground, serve_supervised, succeed};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start it, if it does not run, and wait until it listens; Wine gets ready meanwhile.
    Start,
    /// End it, and the Wine that it runs with everything in it.
    Stop,
    /// Say whether it runs; exits 0 if it does.
    Status,
    /// Serve in the foreground, with the log on standard error.
    Serve,
    /// Serve as a service of systemd's, which hears when the host listens.
    #[command(hide = true)]
    Supervised,
    /// Go on where a host of another build has served: on its socket, which is standard input.
    #[command(hide = true)]
    Succeed,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.action {
        Action::Start => Ok(own_host::ensure().map(|()| ExitCode::SUCCESS)?),
        Action::Stop => stop(),
        Action::Status => status(),
        Action::Succeed => Ok(succeed().map(|()| ExitCode::SUCCESS)?),
        Action::Supervised => Ok(serve_supervised().map(|()| ExitCode::SUCCESS)?),
        Action::Serve => Ok(serve_in_foreground().map(|()| ExitCode::SUCCESS)?),
    }
}

fn stop() -> Result<ExitCode> {
    if own_host::stop()? == Stopped::Before {
        eprintln!("winterop: the host does not run");
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode> {
    match own_host::running()? {
        Some(pid) => {
            println!("the host runs as process {}", pid.as_raw_nonzero());
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!("the host does not run; it is started when it is needed");
            Ok(ExitCode::from(3))
        }
    }
}
