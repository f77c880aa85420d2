//! The host's service: takes launches from interop servers and from interpreters, answers each on
//! its client's own connection, and follows the program to its end.

use crate::admission::{Admission, Entrance};
use crate::kept_terminal::KeptTerminal;
use crate::launcher::{Launcher, Mark, Prepared, Refusal};
use crate::placement::{Decision, decide};
use crate::request::{Descriptors, Incoming, LaunchRequest, sort};
use crate::running::RunningProgram;
use crate::tree;
use rustix::fd::AsFd;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixListener;
use winterop_audit::{Audit, Record};
use winterop_channel::Frame;
use winterop_channel::asynchronous::Channel;
use winterop_settings::Settings;
use winterop_settings::machine::AuditSetting;
use winterop_sys::{PeerCredentials, peer_credentials};
use winterop_wire::{
    CreateProcessResponse, ErrorNotice, ExitStatus, Extensions, Features, Header, Message,
    MessageType, ResponseFlags, Signal as SignalMessage, Tag,
};
use winterop_words::Failure;

/// How long whoever connects may take to send the first request. A server that has handed one over
/// may keep its connection for the next.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// After how long a client is told that its launch is still being prepared, and how often then.
const NOTICE_INTERVAL: Duration = Duration::from_secs(3);

/// How long an interpreter may take to acknowledge an exit status.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(5);

/// A launch that is under way, for `winterop ps`.
#[derive(Clone, Debug)]
pub struct Underway {
    /// The program as its caller sees it.
    pub program: String,
    /// The interpreter's process.
    pub interpreter: i32,
    /// Whether it runs below the host.
    pub hosted: bool,
    /// When it was asked for.
    pub since: Instant,
}

/// A user's host.
#[derive(Debug)]
pub struct Host {
    launcher: Arc<dyn Launcher>,
    settings: Settings,
    admission: Admission,
    audit: Audit,
    counter: AtomicU64,
    underway: Mutex<BTreeMap<u64, Underway>>,
}

impl Host {
    /// A host that starts programs with `launcher` whatever is admitted, and writes it down.
    #[must_use]
    pub fn new(
        launcher: Arc<dyn Launcher>,
        settings: Settings,
        admission: Admission,
        audit: Audit,
    ) -> Arc<Self> {
        Arc::new(Self {
            launcher,
            settings,
            admission,
            audit,
            counter: AtomicU64::new(0),
            underway: Mutex::default(),
        })
    }

    /// The launches that are under way.
    #[must_use]
    pub fn underway(&self) -> BTreeMap<u64, Underway> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves connections until `until` is done.
    ///
    /// # Errors
    /// The system's, where the listener itself is broken; never for what a peer did.
    pub async fn serve(
        self: Arc<Self>,
        listener: UnixListener,
        until: impl Future<Output = ()>,
    ) -> io::Result<()> {
        tokio::pin!(until);
        loop {
            let connection = tokio::select! {
                connection = listener.accept() => connection,
                () = &mut until => return Ok(()),
            };
            match connection {
                Ok((connection, _)) => {
                    tokio::spawn(Arc::clone(&self).attend(connection.into()));
                }
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves one connection: any number of hand-overs, or one direct request.
    async fn attend(self: Arc<Self>, mut channel: Channel) {
        let own = rustix::process::geteuid().as_raw();
        let entrance = match peer_credentials(channel.as_fd()) {
            Ok(peer) if peer.uid == own => Entrance::Server(peer.pid),
            Ok(peer) if peer.uid == 0 => Entrance::Machine,
            Ok(peer) => {
                let foreign = Failure::ForeignHost { own: &own, peer: &peer.uid }.into();
                return answer_refusal(&channel, &foreign).await;
            }
            Err(_) => return,
        };
        let mut patience = Some(REQUEST_DEADLINE);
        loop {
            let received = match patience.take() {
                Some(patience) => tokio::time::timeout(patience, channel.receive()).await,
                None => Ok(channel.receive().await),
            };
            let Ok(received) = received else {
                let late = Failure::NoRequest { seconds: &REQUEST_DEADLINE.as_secs() }.into();
                return answer_refusal(&channel, &late).await;
            };
            let frame = match received {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => {
                    let error = format!("the request cannot be read: {error}");
                    return answer_refusal(&channel, &wrong_request(&error)).await;
                }
            };
            match sort(frame) {
                Ok(Incoming::Direct(frame)) => {
                    return self.launch(channel, frame, Entrance::Own).await;
                }
                Ok(Incoming::HandedOver { client, frame }) => match Channel::new(client) {
                    Ok(client) => {
                        tokio::spawn(Arc::clone(&self).launch(client, frame, entrance));
                    }
                    Err(error) => tracing::warn!(%error, "a client cannot be served"),
                },
                Err(error) => {
                    return answer_refusal(&channel, &wrong_request(&error)).await;
                }
            }
        }
    }

    /// Carries one launch from its request to the program's end.
    async fn launch(self: Arc<Self>, channel: Channel, frame: Frame, entrance: Entrance) {
        let peer = peer_credentials(channel.as_fd()).unwrap_or_default();
        let request = match LaunchRequest::read(frame, peer) {
            Ok(request) => request,
            Err(error) => {
                return answer_refusal(&channel, &wrong_request(&error)).await;
            }
        };
        let mark = Mark::new(self.counter.fetch_add(1, Ordering::Relaxed) + 1);
        let (detach, features) = (request.detach, request.features);
        self.note(&mark, &request);
        let note = Note {
            since: Instant::now(),
            peer,
            program: request.shown(),
            audit: self.audit_setting(),
        };
        let host = Arc::clone(&self);
        let own_mark = mark.clone();
        let deciding = tokio::task::spawn_blocking(move || {
            host.prepare_and_start(request, own_mark, entrance)
        });
        let outcome = wait_with_notices(&channel, features, deciding).await;
        if let Ok((_, warnings)) = &outcome {
            for warning in warnings {
                notify(&channel, features, warning).await;
            }
        }
        match outcome.map(|(start, _)| start) {
            Ok(Start::InPlace { response, graphical, terminal }) => {
                if channel.send(&response, &[]).await.is_ok() {
                    let kept = Kept { mark: mark.clone(), terminal };
                    let code = follow_in_place(channel, kept, graphical || detach).await;
                    self.record(note.audit, || Record { code, ..note.ended("in place") });
                }
            }
            Ok(Start::Hosted { mut program, response, graphical }) => {
                self.note_hosted(&mark);
                // WSL's interpreter expects no descriptor.
                let report = program.program.take_report().filter(|_| features != Features::NONE);
                let attached: Vec<_> = report.iter().map(AsFd::as_fd).collect();
                let sent = channel.send(&response, &attached).await;
                drop(report);
                if sent.is_err() {
                    tracing::info!(launch = mark.launch, "the caller went away during its launch");
                }
                let code = self.follow_hosted(channel, program, graphical || detach).await;
                self.record(note.audit, || Record { code: Some(code), ..note.ended("hosted") });
            }
            Err(refusal) => {
                answer_refusal(&channel, &refusal).await;
                self.record(note.audit, || note.ended("refused").refused(&refusal.text));
            }
        }
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark.launch);
    }

    fn note(&self, mark: &Mark, request: &LaunchRequest) {
        let underway = Underway {
            program: request.shown(),
            interpreter: request.peer.pid,
            hosted: false,
            since: Instant::now(),
        };
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).insert(mark.launch, underway);
    }

    /// Where the machine's settings want records of launches that begin now; nowhere while they
    /// cannot be read.
    fn audit_setting(&self) -> AuditSetting {
        self.admission.switches.settings().map_or(AuditSetting::Off, |settings| settings.audit)
    }

    /// Writes a record where it is wanted; aside, since a file may block.
    fn record(&self, setting: AuditSetting, record: impl FnOnce() -> Record) {
        if setting != AuditSetting::Off {
            let audit = self.audit.clone();
            let Some(lines) = audit.take(&record()) else { return };
            tokio::task::spawn_blocking(move || audit.put(setting, &lines));
        }
    }

    fn note_hosted(&self, mark: &Mark) {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = underway.get_mut(&mark.launch) {
            entry.hosted = true;
        }
    }

    /// Everything about a launch that may block: looking at files, waiting for Wine. Ends with the
    /// caller's descriptors closed here, on this launch's own thread.
    fn prepare_and_start(
        &self,
        mut request: LaunchRequest,
        mark: Mark,
        entrance: Entrance,
    ) -> Result<Started, Refusal> {
        self.admission.admit(&mut request, entrance)?;
        let mut prepared = self.launcher.prepare(&request, &mark)?;
        let terminal = KeptTerminal::of(&mut request).filter(|_| !prepared.graphical);
        let warnings = std::mem::take(&mut prepared.warnings);
        self.start(request, prepared, mark, terminal).map(|start| (start, warnings))
    }

    /// Starts what was prepared, or says how the caller does.
    fn start(
        &self,
        request: LaunchRequest,
        mut prepared: Prepared,
        mark: Mark,
        terminal: Option<KeptTerminal>,
    ) -> Result<Start, Refusal> {
        let graphical = prepared.graphical;
        match decide(&request, &prepared, self.settings.placement) {
            Decision::InPlace => {
                tracing::debug!(launch = mark.launch, program = request.shown(), "in place");
                Ok(Start::InPlace {
                    response: in_place_response(&prepared, &mark, self.settings.grace())?,
                    graphical,
                    terminal,
                })
            }
            Decision::Hosted(reason) => {
                tracing::debug!(launch = mark.launch, program = request.shown(), reason, "hosted");
                let response = hosted_response(graphical, &mark, self.settings.grace())?;
                if let Some((name, terminal)) = prepared.console.zip(terminal.as_ref()) {
                    let path = terminal.path_for_hosted(request.peer.pid);
                    prepared.environment.push((name.into(), path.into()));
                }
                let program = RunningProgram::start(&prepared, &request, mark)
                    .map_err(|error| cannot_start(&prepared, error))?;
                let files =
                    prepared.keeps_descriptors.then(|| request.descriptors.without_standard());
                let program = Hosted { program, terminal, _files: files };
                Ok(Start::Hosted { program, response, graphical })
            }
        }
    }

    /// Follows a hosted program: its caller's signals, its caller's end, its own end.
    async fn follow_hosted(&self, mut channel: Channel, hosted: Hosted, survives: bool) -> u32 {
        let Hosted { mut program, mut terminal, _files } = hosted;
        let code = loop {
            tokio::select! {
                code = program.ended() => break code,
                message = channel.receive() => match message {
                    Ok(Some(frame)) => obey(&program, &frame),
                    Ok(None) | Err(_) if survives => break program.ended().await,
                    // WSL's interpreter closes for writing to end a program, ours ends itself.
                    Ok(None) | Err(_) => {
                        let mark = program.mark().clone();
                        end_aside(Kept { mark, terminal: terminal.take() }).await;
                        break program.ended().await;
                    }
                },
            }
        };
        tell_end(&mut channel, code).await;
        code
    }
}

/// What a record of a launch begins with.
#[derive(Debug)]
struct Note {
    since: Instant,
    peer: PeerCredentials,
    program: String,
    /// As the setting was when the launch began: what ends after it was changed began before that.
    audit: AuditSetting,
}

impl Note {
    fn ended(&self, placement: &'static str) -> Record {
        let Self { since, peer, program, .. } = self;
        Record::ended(peer.uid, peer.pid, program, placement, since.elapsed())
    }
}

/// What a launch has become, and what its caller is told before.
type Started = (Start, Vec<String>);

/// What a launch has become.
#[derive(Debug)]
enum Start {
    InPlace { response: Vec<u8>, graphical: bool, terminal: Option<KeptTerminal> },
    Hosted { program: Hosted, response: Vec<u8>, graphical: bool },
}

/// A hosted program, and what it needs for as long as it runs.
#[derive(Debug)]
struct Hosted {
    program: RunningProgram,
    terminal: Option<KeptTerminal>,
    _files: Option<Descriptors>,
}

/// What is left of a launch whose interpreter was killed.
#[derive(Debug)]
struct Kept {
    mark: Mark,
    terminal: Option<KeptTerminal>,
}

fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::INTR
                | Errno::CONNABORTED
                | Errno::MFILE
                | Errno::NFILE
                | Errno::NOMEM
                | Errno::NOBUFS
        )
    )
}

/// Waits for a launch's preparation and tells the client now and then that it goes on.
async fn wait_with_notices(
    channel: &Channel,
    features: Features,
    deciding: tokio::task::JoinHandle<Result<Started, Refusal>>,
) -> Result<Started, Refusal> {
    tokio::pin!(deciding);
    loop {
        match tokio::time::timeout(NOTICE_INTERVAL, &mut deciding).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => {
                return Err(Failure::HostFailed { error: &error }.into());
            }
            Err(_) => notify(channel, features, "Wine is still being prepared…").await,
        }
    }
}

/// Tells the client something that is no answer yet.
async fn notify(channel: &Channel, features: Features, text: &str) {
    if features == Features::NONE {
        // Whoever does not know extensions is not sent any.
        return;
    }
    let mut extensions = Extensions::new();
    extensions.push(Tag::ERROR_TEXT, text.as_bytes());
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::ERROR_NOTICE, 1);
    if (ErrorNotice { extensions }).encode(&header, &mut bytes).is_ok() {
        // A client that went away is noticed with the answer.
        let _ = channel.send(&bytes, &[]).await;
    }
}

/// Waits for the interpreter to say that its program has ended. If it ends without a word it was
/// killed, and everything it had started is ended.
async fn follow_in_place(mut channel: Channel, kept: Kept, survives: bool) -> Option<u32> {
    loop {
        match channel.receive().await {
            Ok(Some(frame)) => {
                if let Some(code) = exit_status(&frame) {
                    return Some(code);
                }
            }
            Ok(None) | Err(_) if survives => return None,
            Ok(None) | Err(_) => {
                tracing::info!(
                    launch = kept.mark.launch,
                    "the interpreter was ended; so is its program"
                );
                end_aside(kept).await;
                return None;
            }
        }
    }
}

fn exit_status(frame: &Frame) -> Option<u32> {
    let message = Message::parse(&frame.bytes).ok()?;
    let is_one = message.header.message_type == MessageType::EXIT_STATUS;
    // An end that cannot be read is one all the same.
    is_one.then(|| ExitStatus::decode(&message).map_or(u32::MAX, |it| it.code.cast_unsigned()))
}

/// Ends everything that a launch has started, then puts its terminal back.
async fn end_aside(kept: Kept) {
    let work = move || {
        tree::end(&kept.mark);
        if let Some(terminal) = &kept.terminal {
            terminal.put_back();
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "a program's tree could not be ended");
    }
}

/// Does what the interpreter asks while its program runs.
fn obey(program: &RunningProgram, frame: &Frame) {
    let Ok(message) = Message::parse(&frame.bytes) else { return };
    if message.header.message_type == MessageType::WINDOW_SIZE_CHANGED {
        // The program asks the terminal itself: its size may have changed again.
        program.signal(Signal::WINCH);
    }
    if message.header.message_type == MessageType::SIGNAL
        && let Ok(SignalMessage { number }) = SignalMessage::decode(&message)
        && let Some(signal) = Signal::from_named_raw(number)
    {
        program.signal(signal);
    }
}

/// Tells the interpreter the exit code and waits until it has it, as WSL does.
async fn tell_end(channel: &mut Channel, code: u32) {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 2);
    if ExitStatus::new(code.cast_signed()).encode(&header, &mut bytes).is_err() {
        return;
    }
    if channel.send(&bytes, &[]).await.is_ok() {
        let _ = tokio::time::timeout(ACKNOWLEDGEMENT, channel.receive()).await;
    }
}

fn wrong_request(error: &dyn std::fmt::Display) -> Refusal {
    Failure::WrongRequest { error }.into()
}

fn too_long(error: &winterop_wire::EncodeError) -> Refusal {
    Failure::AnswerTooLong { error }.into()
}

fn in_place_response(
    prepared: &Prepared,
    mark: &Mark,
    grace: Duration,
) -> Result<Vec<u8>, Refusal> {
    let assignments: Vec<Vec<u8>> =
        prepared.environment.iter().map(|(name, value)| assignment(name, value)).collect();
    let mut extensions = answer_extensions(mark, grace);
    extensions.push(Tag::IN_PLACE_PROGRAM, prepared.program.as_os_str().as_bytes());
    extensions.push(
        Tag::IN_PLACE_ARGUMENTS,
        list(prepared.arguments.iter().map(|argument| argument.as_bytes())),
    );
    extensions.push(Tag::IN_PLACE_ENVIRONMENT, list(assignments.iter().map(Vec::as_slice)));
    if prepared.is_elsewhere {
        extensions.push(Tag::IN_PLACE_DIRECTORY, prepared.directory.as_os_str().as_bytes());
    }
    if let Some(report) = prepared.report {
        extensions.push(Tag::IN_PLACE_REPORT, report.as_bytes());
    }
    if let Some(console) = prepared.console {
        extensions.push(Tag::IN_PLACE_CONSOLE, console.as_bytes());
    }
    response(prepared.graphical, extensions)
}

fn assignment(name: &OsString, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

fn list<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes
}

fn hosted_response(graphical: bool, mark: &Mark, grace: Duration) -> Result<Vec<u8>, Refusal> {
    response(graphical, answer_extensions(mark, grace))
}

fn answer_extensions(mark: &Mark, grace: Duration) -> Extensions<'static> {
    let mut extensions = Extensions::new();
    extensions.push_u64(Tag::LAUNCH_ID, mark.launch);
    let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
    extensions.push_u32(Tag::GRACE, grace);
    extensions.push_u32(Tag::HOST_FEATURES, Features::IN_PLACE.with(Features::SIGNALS).0);
    extensions
}

fn response(graphical: bool, extensions: Extensions<'_>) -> Result<Vec<u8>, Refusal> {
    let flags = if graphical { ResponseFlags::GRAPHICAL } else { ResponseFlags::NONE };
    let response = CreateProcessResponse { result: 0, signal_pipe_id: 0, flags, extensions };
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    response.encode(&header, &mut bytes).map_err(|error| too_long(&error))?;
    Ok(bytes)
}

fn cannot_start(prepared: &Prepared, error: rustix::io::Errno) -> Refusal {
    if error == rustix::io::Errno::TOOBIG {
        let arguments: usize = prepared.arguments.iter().map(|argument| argument.len() + 1).sum();
        let variables: usize =
            prepared.environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let longest =
            prepared.environment.iter().max_by_key(|(name, value)| name.len() + value.len());
        let longest = longest.map(|(name, _)| name.to_string_lossy()).unwrap_or_default();
        let too_long = Failure::ArgumentsTooLong {
            program: &prepared.program.display(),
            arguments: &arguments,
            count: &prepared.environment.len(),
            variables: &variables,
            longest: &longest,
        };
        return too_long.into();
    }
    let error = winterop_sys::system_error(error);
    Failure::LoaderNotStarted { program: &prepared.program.display(), error: &error }.into()
}

/// Tells a client why its launch does not happen.
async fn answer_refusal(channel: &Channel, refusal: &Refusal) {
    let result = refusal.errno.raw_os_error();
    let response = CreateProcessResponse::refusal(result, &refusal.text, refusal.status);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    if response.encode(&header, &mut bytes).is_ok() {
        // Whoever asked and went away does not need the answer.
        let _ = channel.send(&bytes, &[]).await;
    }
}
