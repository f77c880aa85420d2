//! Reads the host's answer to a create-process message.

use crate::words::{FailedLaunch, Why, shown, status, system_error};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use rustix::io::Errno;
use winterop_wire::{
    CreateProcessResponse, Extensions, Features, ResponseFlags, Strings, Tag, ValueError,
};

/// What to do now that the host has agreed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Run this in the caller's place.
    InPlace(InPlacePlan),
    /// The host runs the program.
    Hosted(HostedProgram),
}

/// What to run in the caller's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InPlacePlan {
    /// The path to execute.
    pub program: Vec<u8>,
    /// Its argv.
    pub arguments: Vec<Vec<u8>>,
    /// Its whole environment.
    pub environment: Vec<Vec<u8>>,
    /// The directory to start it in, if not the caller's.
    pub directory: Option<Vec<u8>>,
    /// The variable that tells it the descriptor on which to report its full exit code.
    pub report: Option<Vec<u8>>,
    /// The variable that tells it the path of the file with which the terminal is shared.
    pub console: Option<Vec<u8>>,
    /// It is a graphical program.
    pub graphical: bool,
    /// How many milliseconds it has to end in when it was asked to.
    pub grace: u32,
}

/// The grace of hosts that do not say one, in milliseconds.
const GRACE: u32 = 5_000;

/// A program that runs below the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostedProgram {
    /// It is a graphical program: the terminal is the shell's again at once.
    pub graphical: bool,
    /// What the host understands beyond WSL's protocol.
    pub features: Features,
    /// How many milliseconds it has to end in when it was asked to.
    pub grace: u32,
}

/// Turns a response into what to do.
///
/// # Errors
/// The host's refusal, in its own words where it has sent any.
pub(crate) fn understand(
    response: &CreateProcessResponse<'_>,
    program: &[u8],
) -> Result<Answer, FailedLaunch> {
    let extensions = &response.extensions;
    if response.result != 0 {
        return Err(refusal(response.result, extensions, program));
    }
    let grace = extensions.get_u32(Tag::GRACE).ok().flatten().unwrap_or(GRACE);
    let graphical = response.flags.contains(ResponseFlags::GRAPHICAL);
    match extensions.get(Tag::IN_PLACE_PROGRAM) {
        Some(path) => {
            let plan = plan(path, extensions, graphical, grace);
            plan.map(Answer::InPlace).map_err(|error| {
                let error = format!("an answer that cannot be read: {error}");
                Why::WrongAnswer { program: &shown(program), error: &error }.into()
            })
        }
        None => {
            let features = extensions.features(Tag::HOST_FEATURES).unwrap_or(Features::NONE);
            Ok(Answer::Hosted(HostedProgram { graphical, features, grace }))
        }
    }
}

fn plan(
    program: &[u8],
    extensions: &Extensions<'_>,
    graphical: bool,
    grace: u32,
) -> Result<InPlacePlan, ValueError> {
    let list = |tag| -> Result<Vec<Vec<u8>>, ValueError> {
        let strings = extensions.strings(tag)?;
        Ok(strings.into_iter().flat_map(Strings::into_iter).map(<[u8]>::to_vec).collect())
    };
    Ok(InPlacePlan {
        program: program.to_vec(),
        arguments: list(Tag::IN_PLACE_ARGUMENTS)?,
        environment: list(Tag::IN_PLACE_ENVIRONMENT)?,
        directory: extensions.get(Tag::IN_PLACE_DIRECTORY).map(<[u8]>::to_vec),
        report: extensions.get(Tag::IN_PLACE_REPORT).map(<[u8]>::to_vec),
        console: extensions.get(Tag::IN_PLACE_CONSOLE).map(<[u8]>::to_vec),
        graphical,
        grace,
    })
}

/// The largest error number that Linux has.
const MAX_ERRNO: i32 = 4095;

/// What to say and how to exit where the host sent the error number `result`.
fn refusal(result: i32, extensions: &Extensions<'_>, program: &[u8]) -> FailedLaunch {
    // Whatever is no error number of Linux counts as one of WSL's that says nothing in particular.
    let known = (1..=MAX_ERRNO).contains(&result);
    let error = if known { Errno::from_raw_os_error(result) } else { Errno::INVAL };
    let text = match extensions.get(Tag::ERROR_TEXT) {
        Some(text) => String::from_utf8_lossy(text).into_owned(),
        None => {
            let why = Why::WindowsSide { program: &shown(program), error: &system_error(error) };
            why.words().to_string()
        }
    };
    let by_number = match error {
        Errno::NOENT => status::NOT_FOUND,
        Errno::ACCESS | Errno::NOEXEC | Errno::PERM | Errno::TOOBIG => status::CANNOT_RUN,
        _ => status::FAILED,
    };
    let status = extensions.get_u8(Tag::ERROR_STATUS).ok().flatten().unwrap_or(by_number);
    // A failure must never look like success.
    FailedLaunch { text, status: if status == 0 { status::FAILED } else { status } }
}
