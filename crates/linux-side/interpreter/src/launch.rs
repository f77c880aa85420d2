//! One launch, from the named program to the way in which the interpreter ends.

use crate::discovery::{self, Found};
use crate::ending::{Crash, Ending, ExitCode};
use crate::hosted::Hosted;
use crate::in_place::{self, Ended};
use crate::request::{self, Caller, Request, Wishes};
use crate::response::{Answer, InPlacePlan, understand};
use crate::signals::Watch;
use crate::start::{CallerEnvironment, Invocation, Start};
use crate::terminal::Terminal;
use crate::words::{FailedLaunch, Why, shown, system_error};
use crate::{complain, say};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use rustix::event::Timespec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;
use winterop_channel::unix::{ReceiveError, receive, send};
use winterop_channel::{Frame, Inbox};
use winterop_wire::{
    CreateProcessResponse, DecodeError, ErrorNotice, ExitStatus, Header, Message, MessageType, Tag,
};

/// How long a server may be silent before it counts as broken. A host that has longer work to do,
/// such as preparing Wine for the first time, says so in between.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Runs `invocation` and says how the interpreter ends for it.
#[must_use]
pub fn launch(start: &Start<'_>, invocation: &Invocation<'_>, wishes: &Wishes<'_>) -> Ending {
    match try_launch(start, invocation, wishes) {
        Ok((ended, demanded)) => conclude(ended, demanded, invocation, &start.environment),
        Err(failure) => complain(&failure),
    }
}

fn try_launch(
    start: &Start<'_>,
    invocation: &Invocation<'_>,
    wishes: &Wishes<'_>,
) -> Result<(Ended, Option<Signal>), FailedLaunch> {
    refuse_privileges(start, invocation)?;
    let caller = Caller::inspect(start, invocation.program, wishes)?;
    let Found { connection, path } = discovery::find(&start.environment, start.auxiliary.secure)
        .map_err(|attempts| no_server(invocation, &attempts))?;
    let (request, terminal) = request::build(caller, &start.environment, invocation, wishes)?;
    send_request(&connection, &request, terminal.as_ref(), &path, invocation)?;
    let mut inbox = Inbox::default();
    let (answer, attached) = receive_answer(&connection, &mut inbox, invocation)?;
    // The descriptors have gone over; hosted, the program's ends must be the only ones left.
    drop(request);
    let program = shown(invocation.program);
    let watch = Watch::start().map_err(|error| {
        let error = system_error(error);
        FailedLaunch::from(Why::NoSignals { program: &program, error: &error })
    })?;
    let ended = match answer {
        Answer::InPlace(plan) => run_in_place(&plan, &watch, terminal.as_ref(), &connection),
        // Nobody waits for a detached program; that it was started is all there is to say.
        Answer::Hosted(_) if wishes.detach => Ok(Ended::Code(ExitCode(0))),
        Answer::Hosted(running) => {
            let hosted = Hosted::new(&connection, inbox, running, terminal.as_ref());
            wait_for_host(hosted.with_report(attached).named(&program), &watch)
        }
    }?;
    Ok((ended, watch.demanded()))
}

/// Refuses to start a program with rights that the caller does not have: which environment, which
/// server and which host would be whose is not defined then.
fn refuse_privileges(start: &Start<'_>, invocation: &Invocation<'_>) -> Result<(), FailedLaunch> {
    let (real, effective) = (rustix::process::getuid(), rustix::process::geteuid());
    if !start.auxiliary.secure && real == effective {
        return Ok(());
    }
    let why = Why::ChangedRights {
        program: &shown(invocation.program),
        uid: &real.as_raw(),
        effective: &effective.as_raw(),
    };
    Err(why.into())
}

fn no_server(invocation: &Invocation<'_>, attempts: &[discovery::Attempt]) -> FailedLaunch {
    let attempts = discovery::describe(attempts);
    Why::NoServer { program: &shown(invocation.program), attempts: &attempts }.into()
}

fn send_request(
    connection: &OwnedFd,
    request: &Request,
    terminal: Option<&Terminal>,
    path: &[u8],
    invocation: &Invocation<'_>,
) -> Result<(), FailedLaunch> {
    let Err(error) = send(connection, &request.bytes, &request.attached(terminal)) else {
        return Ok(());
    };
    // A server that refuses whoever connects closes before it has read anything.
    if matches!(error, Errno::PIPE | Errno::CONNRESET)
        && let Some(refusal) = refusal_without_request(connection, invocation)
    {
        return Err(refusal);
    }
    let (program, socket) = (shown(invocation.program), shown(path));
    let error = system_error(error);
    Err(Why::RequestNotSent { program: &program, socket: &socket, error: &error }.into())
}

/// The refusal that a server has left before it closed the connection.
fn refusal_without_request(
    connection: &OwnedFd,
    invocation: &Invocation<'_>,
) -> Option<FailedLaunch> {
    let frame = receive(connection, &mut Inbox::default(), Some(PATIENCE)).ok()?;
    let message = Message::parse(&frame.bytes).ok()?;
    let response = CreateProcessResponse::decode(&message).ok()?;
    understand(&response, invocation.program).err()
}

/// Waits for the response; shows what the host has to say before it.
fn receive_answer(
    connection: &OwnedFd,
    inbox: &mut Inbox,
    invocation: &Invocation<'_>,
) -> Result<(Answer, Vec<OwnedFd>), FailedLaunch> {
    loop {
        let frame =
            receive(connection, inbox, Some(PATIENCE)).map_err(|e| no_answer(&e, invocation))?;
        let bad = |error| bad_message(&error, invocation);
        let message = Message::parse(&frame.bytes).map_err(bad)?;
        match message.header.message_type {
            MessageType::CREATE_PROCESS_RESPONSE => {
                let response = CreateProcessResponse::decode(&message).map_err(bad)?;
                let answer = understand(&response, invocation.program)?;
                return Ok((answer, frame.descriptors));
            }
            MessageType::ERROR_NOTICE => show_notice(&frame).map_err(bad)?,
            other => {
                let error = format_args!("{other} where the answer to a launch was due");
                return Err(wrong_answer(&error, invocation));
            }
        }
    }
}

fn show_notice(frame: &Frame) -> Result<(), DecodeError> {
    let message = Message::parse(&frame.bytes)?;
    let notice = ErrorNotice::decode(&message)?;
    if let Some(text) = notice.extensions.get(Tag::ERROR_TEXT) {
        say(text);
    }
    Ok(())
}

fn bad_message(error: &DecodeError, invocation: &Invocation<'_>) -> FailedLaunch {
    wrong_answer(&format_args!("what is no message: {error}"), invocation)
}

fn wrong_answer(error: &dyn Display, invocation: &Invocation<'_>) -> FailedLaunch {
    Why::WrongAnswer { program: &shown(invocation.program), error }.into()
}

fn no_answer(error: &ReceiveError, invocation: &Invocation<'_>) -> FailedLaunch {
    let text = match error {
        ReceiveError::System(error) => system_error(*error).to_string(),
        ReceiveError::Timeout => format!("it was silent for {} s", PATIENCE.tv_sec),
        other => other.to_string(),
    };
    Why::NoAnswer { program: &shown(invocation.program), error: &text }.into()
}

fn run_in_place(
    plan: &InPlacePlan,
    watch: &Watch,
    terminal: Option<&Terminal>,
    connection: &OwnedFd,
) -> Result<Ended, FailedLaunch> {
    let terminal = terminal.filter(|_| !plan.graphical);
    let ended = in_place::run(plan, watch, terminal, connection.as_fd())?;
    if !matches!(ended, Ended::Overdue(_)) {
        report_end(connection, ended);
    }
    Ok(ended)
}

/// Tells the host how the program ended. That the message arrives says that the interpreter was not
/// killed: what the program has left behind may live on.
fn report_end(connection: &OwnedFd, ended: Ended) {
    let code = match ended {
        Ended::Code(ExitCode(code)) => code,
        Ended::Signal(signal) | Ended::Overdue(signal) => {
            winterop_sys::status_of_signal(signal.as_raw()).unsigned_abs()
        }
    };
    let mut bytes = Vec::with_capacity(32);
    let header = Header::plain(MessageType::EXIT_STATUS, 1);
    if ExitStatus::new(code.cast_signed()).encode(&header, &mut bytes).is_ok() {
        // A host that has gone since then does not need to know.
        let _ = send(connection, &bytes, &[]);
    }
}

fn wait_for_host(mut hosted: Hosted<'_>, watch: &Watch) -> Result<Ended, FailedLaunch> {
    let terminal = hosted.terminal;
    // The program's input and output are the program's: whoever reads or writes the other end must
    // see when it closes them. 2 stays for our own words.
    drop((winterop_sys::take_inherited(0), winterop_sys::take_inherited(1)));
    let result = hosted.wait(watch);
    if let Some(terminal) = terminal {
        terminal.take_back();
    }
    result.map(|code| hosted.overdue.map_or(Ended::Code(code), Ended::Overdue))
}

/// Names a crash, hands the full code to whoever asked for it, and chooses the ending.
fn conclude(
    ended: Ended,
    demanded: Option<Signal>,
    invocation: &Invocation<'_>,
    environment: &CallerEnvironment<'_>,
) -> Ending {
    if let Ended::Code(code) = ended {
        write_full_code(code, environment);
        // Ctrl-C is no crash: the shell says nothing of it either.
        if let Some(crash) = code.crash().filter(|c| c.signal != Signal::INT) {
            say(crash_in_words(crash, &shown(invocation.name)).as_bytes());
        }
    }
    match (ended, demanded) {
        // What ends by a console event says so with one code, whichever event it was.
        (Ended::Code(ExitCode::CONSOLE_EVENT), Some(signal)) => Ending::Signal(signal),
        _ => ended.ending(),
    }
}

/// What a crash is called; where it is the loader's word, with what to do.
fn crash_in_words(crash: &Crash, program: &str) -> String {
    let (name, code) = (crash.name, format!("0x{:08X}", crash.code.0));
    if crash.is_of_loader() {
        return Why::DllTrouble { program: &program, name: &name, code: &code }.words().to_string();
    }
    format!("{program}: {name} ({code})")
}

/// Writes the 32-bit code as text to the descriptor that `WINTEROP_EXIT_FD` names.
fn write_full_code(code: ExitCode, environment: &CallerEnvironment<'_>) {
    let number = environment
        .get(b"WINTEROP_EXIT_FD")
        .and_then(|text| core::str::from_utf8(text).ok()?.parse().ok());
    let Some(descriptor) = number.and_then(winterop_sys::inherited) else { return };
    if let Err(error) = write_line(descriptor, code) {
        let text = format!("WINTEROP_EXIT_FD: {}", system_error(error));
        say(text.as_bytes());
    }
}

fn write_line(descriptor: impl AsFd, code: ExitCode) -> Result<(), Errno> {
    rustix::io::write(descriptor, format!("{}\n", code.0).as_bytes()).map(|_| ())
}
