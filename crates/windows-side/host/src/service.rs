//! The host's service: takes launches from interop servers and from interpreters, answers each on
//! its client's own connection, and follows the program to its end.

use crate::admission::{Admission, Caller};
use crate::client::{Client, Places};
use crate::entrance::{Entrance, Standing, Unserved, client_lives_elsewhere};
use crate::instances::Instances;
use crate::kept_terminal::KeptTerminal;
use crate::launcher::{Launcher, Mark, Prepared, Refusal};
use crate::placement::{Decision, decide};
use crate::request::{Descriptors, LaunchRequest};
use crate::running::RunningProgram;
use crate::tree;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::ioctl_fionbio;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use winterop_audit::{Audit, Record};
use winterop_channel::Frame;
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::send_some;
use winterop_serve::starter::Starter;
use winterop_serve::{Backlog, Crowded, Listener, Peer, Place, queries};
use winterop_settings::Settings;
use winterop_settings::machine::AuditSetting;
use winterop_sys::{PeerCredentials, peer_credentials};
use winterop_wire::{
    CreateProcessResponse, ErrorNotice, ExitStatus, Extensions, Features, HandOff, Header,
    Instance, Message, MessageType, ResponseFlags, Signal as SignalMessage, Tag,
};
use winterop_words::Failure;

/// How long whoever connects may take to send the first request. A server that has handed one over
/// may keep its connection for the next.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// How many connections to the host's own socket, of which none has a place, may hang while they are
/// closed. Whoever can reach it is the user, or sees the user's own directory.
const MOST_AT_OWN_SOCKET: usize = 512;

/// How long a client may take to read its refusal.
const PATIENCE: Duration = Duration::from_secs(1);

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
    places: Places,
    instances: Instances,
    starter: Option<Arc<Starter>>,
}

impl Host {
    /// A host that starts programs with `launcher` whatever is admitted, and writes it down. Hosted
    /// programs are started by `starter`, where there is one. A runtime of tokio's must be there.
    ///
    /// # Errors
    /// The system's, where it has no threads for it.
    pub fn new(
        launcher: Arc<dyn Launcher>,
        settings: Settings,
        admission: Admission,
        audit: Audit,
        starter: Option<Arc<Starter>>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            launcher,
            settings,
            admission,
            audit,
            counter: AtomicU64::new(0),
            underway: Mutex::default(),
            places: Places::new()?,
            instances: Instances::default(),
            starter,
        }))
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
        listener: Listener,
        until: impl Future<Output = ()>,
    ) -> io::Result<()> {
        tokio::pin!(until);
        let backlog = Backlog::new(MOST_AT_OWN_SOCKET);
        loop {
            let connection = tokio::select! {
                connection = listener.accept() => connection?,
                () = &mut until => return Ok(()),
            };
            self.welcome(connection.into(), &backlog).await;
        }
    }

    /// Looks at who has connected to the host's own socket.
    async fn welcome(self: &Arc<Self>, channel: Channel, backlog: &Backlog) {
        let known = Peer::of(channel.as_fd()).map_err(Unserved::from).and_then(|peer| {
            let standing = Standing::of(&peer, &self.instances, self.admission.sandboxes)?;
            Ok((peer, standing))
        });
        match known {
            Ok((peer, standing)) => {
                let elsewhere = standing.lives_elsewhere();
                if let Some(client) = self.let_in(channel, peer, elsewhere, backlog).await {
                    tokio::spawn(Arc::clone(self).attend(client, standing));
                }
            }
            Err(unserved) => self.turn_away(channel, &unserved.words().into(), backlog).await,
        }
    }

    /// Gives whoever has connected a place.
    async fn let_in(
        &self,
        channel: Channel,
        peer: Peer,
        elsewhere: bool,
        backlog: &Backlog,
    ) -> Option<Client> {
        let is_guest = elsewhere || !is_user(&peer);
        match self.places.enter(&peer, is_guest) {
            Ok(place) => Some(Client::new(channel, peer, elsewhere, place, self.places.closer())),
            Err(crowded) => {
                self.turn_away(channel, &too_many(crowded), backlog).await;
                None
            }
        }
    }

    /// Refuses a connection of which nothing was read; it does not block. Where too many such cannot be
    /// closed, whoever comes by the same way waits: for guests the machine's init has a way of their own.
    async fn turn_away(
        &self,
        connection: impl AsFd + Send + 'static,
        refusal: &Refusal,
        backlog: &Backlog,
    ) {
        let uid = peer_credentials(connection.as_fd()).map_or(u32::MAX, |peer| peer.uid);
        if let Some(before) = winterop_audit::may_log(uid) {
            let left_out = before.left_out;
            tracing::info!(text = refusal.text, uid, left_out, "a connection is refused");
        }
        // Nothing was sent on it, so there is room.
        let _ = send_some(&connection, &refusal_message(refusal), &[]);
        backlog.close(connection).await;
    }

    /// Serves a connection to the host's own socket: one launch, or any number of hand-overs.
    async fn attend(self: Arc<Self>, mut client: Client, standing: Standing) {
        let mut deadline = Some(Instant::now() + REQUEST_DEADLINE);
        let backlog = Backlog::default();
        loop {
            let frame = match next_request(&mut client, deadline, &[]).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(refusal) => return refuse(&client, &refusal).await,
            };
            let kind = kind_of(&frame);
            let done = match (kind, standing.of_direct()) {
                (MessageType::CREATE_PROCESS, Some(entrance)) => {
                    return self.launch(client, frame, entrance).await;
                }
                (MessageType::HAND_OFF, _) if standing.hands_over() => {
                    let entrance = standing.of_handed_over(client.peer.credentials.pid);
                    if matches!(entrance, Entrance::Server(_)) && !client.peer.lives() {
                        // Its pid may be another's by now.
                        return client.close_aside(frame.descriptors);
                    }
                    self.take_over(frame, entrance, &backlog).await;
                    Ok(())
                }
                (MessageType::INSTANCE, _) if standing.names_instances() => {
                    let known = self.know_instance(&frame);
                    // It may be anything else than a process.
                    client.close_aside(frame.descriptors);
                    known.map(|()| tell_presence(&client))
                }
                _ => {
                    client.close_aside(frame.descriptors);
                    Err(io::Error::other(format!("{kind} is not served here")))
                }
            };
            if let Err(error) = done {
                return refuse(&client, &wrong_request(&error)).await;
            }
            // A server may keep its connection for the next client.
            client.release_place();
            deadline = None;
        }
    }

    /// Takes a client over that a server hands over: nothing of its connection was read.
    async fn take_over(self: &Arc<Self>, frame: Frame, entrance: Entrance, backlog: &Backlog) {
        let (connection, variables) = match handed_over(frame) {
            Ok(taken) => taken,
            Err((error, left)) => {
                tracing::warn!(error, "a client cannot be taken over");
                return self.places.closer().close(left);
            }
        };
        // A refusal must not wait for whoever has filled it; it is nobody's word that this is a connection.
        let _ = ioctl_fionbio(&connection, true);
        let known = Peer::of(connection.as_fd()).map_err(Unserved::from).and_then(|peer| {
            let elsewhere = client_lives_elsewhere(&peer, entrance.compared())?;
            Ok((peer, elsewhere))
        });
        match known {
            // Only a socket has a peer: what may not be closable does not get this far.
            Ok((peer, elsewhere)) => match Channel::new(connection) {
                Ok(channel) => {
                    if let Some(client) = self.let_in(channel, peer, elsewhere, backlog).await {
                        tokio::spawn(Arc::clone(self).serve_client(client, variables, entrance));
                    }
                }
                Err(error) => tracing::warn!(%error, "a client cannot be waited for"),
            },
            Err(unserved) => self.turn_away(connection, &unserved.words().into(), backlog).await,
        }
    }

    /// Serves a client that was handed over.
    async fn serve_client(
        self: Arc<Self>,
        mut client: Client,
        variables: Vec<Vec<u8>>,
        entrance: Entrance,
    ) {
        let deadline = Some(Instant::now() + REQUEST_DEADLINE);
        let refusal = match next_request(&mut client, deadline, &variables).await {
            Ok(None) => return,
            Ok(Some(frame)) if kind_of(&frame) == MessageType::CREATE_PROCESS => {
                return self.launch(client, frame, entrance).await;
            }
            Ok(Some(frame)) => {
                let error = format!("{} is not served here", kind_of(&frame));
                client.close_aside(frame.descriptors);
                wrong_request(&error)
            }
            Err(refusal) => refusal,
        };
        refuse(&client, &refusal).await;
    }

    /// Notes an instance that the user's own process has named.
    fn know_instance(&self, frame: &Frame) -> io::Result<()> {
        let message = Message::parse(&frame.bytes).map_err(io::Error::other)?;
        Instance::decode(&message).map_err(io::Error::other)?;
        let process = frame.descriptors.first();
        let process = process.ok_or_else(|| io::Error::other("an instance without its process"))?;
        self.instances.add(process)
    }

    /// Carries one launch from its request to the program's end.
    async fn launch(self: Arc<Self>, mut client: Client, mut frame: Frame, entrance: Entrance) {
        let peer = client.peer.credentials;
        let read = LaunchRequest::read(&mut frame, peer);
        client.close_aside(frame.descriptors);
        let request = match read {
            Ok(request) => request,
            Err(error) => return refuse(&client, &wrong_request(&error)).await,
        };
        let mark = Mark::new(self.counter.fetch_add(1, Ordering::Relaxed) + 1);
        let survives = request.detach;
        self.note(&mark, &request);
        let note = Note {
            since: Instant::now(),
            peer,
            program: request.shown(),
            audit: self.audit_setting(),
        };
        let outcome = self.decide(&mut client, request, &mark, entrance).await;
        match outcome {
            Ok(Start::InPlace { response, graphical, terminal }) => {
                if client.send(&response, &[]).await.is_ok() {
                    let kept = Kept { mark: mark.clone(), terminal };
                    let code = follow_in_place(&mut client, kept, graphical || survives).await;
                    self.record(note.audit, || Record { code, ..note.ended("in place") });
                }
            }
            Ok(Start::Hosted { mut program, response, graphical, with_report }) => {
                self.note_hosted(&mark);
                // WSL's interpreter expects no descriptor.
                let report = program.program.take_report().filter(|_| with_report);
                let attached: Vec<_> = report.iter().map(AsFd::as_fd).collect();
                let sent = client.send(&response, &attached).await;
                drop(report);
                if sent.is_err() {
                    tracing::info!(launch = mark.launch, "the caller went away during its launch");
                }
                let code = self.follow_hosted(&mut client, program, graphical || survives).await;
                self.record(note.audit, || Record { code: Some(code), ..note.ended("hosted") });
            }
            Err(refusal) => {
                refuse(&client, &refusal).await;
                self.record(note.audit, || note.ended("refused").refused(&refusal.text));
            }
        }
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark.launch);
    }

    /// Finds out whether and how a launch starts, on a thread of its own. Whoever loses their place
    /// meanwhile is told at once, and the thread is done when it can be.
    async fn decide(
        self: &Arc<Self>,
        client: &mut Client,
        request: LaunchRequest,
        mark: &Mark,
        entrance: Entrance,
    ) -> Result<Start, Refusal> {
        let features = request.features;
        let asking = Asking {
            caller: client.caller(entrance),
            request,
            mark: mark.clone(),
            place: client.place(),
        };
        let host = Arc::clone(self);
        let deciding = tokio::task::spawn_blocking(move || host.prepare_and_start(asking));
        let place = client.place();
        let outcome = tokio::select! {
            outcome = wait_with_notices(client, features, deciding) => outcome,
            () = Client::is_turned_away(place) => return Err(crowded_out()),
        };
        client.release_place();
        let (start, warnings) = outcome?;
        for warning in &warnings {
            notify(client, features, warning).await;
        }
        Ok(start)
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
    /// caller's descriptors closed here, on this launch's own thread, and its place free.
    fn prepare_and_start(&self, asking: Asking) -> Result<Started, Refusal> {
        let Asking { caller, mut request, mark, place } = asking;
        self.admission.admit(&mut request, &caller, &*self.launcher)?;
        let running = self.places.run(&caller.peer, request.is_guest).map_err(too_many)?;
        let mut prepared = self.launcher.prepare(&request, &mark)?;
        let terminal = KeptTerminal::of(&mut request).filter(|_| !prepared.graphical);
        let warnings = std::mem::take(&mut prepared.warnings);
        let mut start = self.start(request, prepared, mark, terminal)?;
        if let Start::Hosted { program, .. } = &mut start {
            program._running = running;
        }
        drop(place);
        Ok((start, warnings))
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
                let program =
                    RunningProgram::start(&prepared, &request, mark, self.starter.as_deref())
                        .map_err(|error| cannot_start(&prepared, error))?;
                let files =
                    prepared.keeps_descriptors.then(|| request.descriptors.without_standard());
                let program = Hosted { program, terminal, files, _running: None };
                let with_report = request.features != Features::NONE;
                Ok(Start::Hosted { program, response, graphical, with_report })
            }
        }
    }

    /// Follows a hosted program: its caller's signals, its caller's end, its own end.
    async fn follow_hosted(&self, client: &mut Client, hosted: Hosted, survives: bool) -> u32 {
        let Hosted { mut program, mut terminal, files, _running } = hosted;
        let code = loop {
            tokio::select! {
                code = program.ended() => break code,
                message = client.receive() => match message {
                    Ok(Some(frame)) => {
                        if let Some(signal) = wanted(&frame) {
                            // One at a time for each client, and not on the thread that serves all.
                            let signalling = program.signalling(signal);
                            let _ = tokio::task::spawn_blocking(signalling).await;
                        }
                        client.close_aside(frame.descriptors);
                    }
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
        tell_end(client, code).await;
        client.drop_aside((terminal, files));
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
    InPlace {
        response: Vec<u8>,
        graphical: bool,
        terminal: Option<KeptTerminal>,
    },
    /// `with_report` says whether the caller takes the descriptor on which the exit code arrives.
    Hosted {
        program: Hosted,
        response: Vec<u8>,
        graphical: bool,
        with_report: bool,
    },
}

/// A launch that is to be decided.
struct Asking {
    caller: Caller,
    request: LaunchRequest,
    mark: Mark,
    /// Its place, taken as long as it is decided on.
    place: Option<Arc<Place>>,
}

/// A hosted program, and what it needs for as long as it runs.
#[derive(Debug)]
struct Hosted {
    program: RunningProgram,
    terminal: Option<KeptTerminal>,
    files: Option<Descriptors>,
    /// A guest's place among those whose programs run.
    _running: Option<Place>,
}

/// What is left of a launch whose interpreter was killed.
#[derive(Debug)]
struct Kept {
    mark: Mark,
    terminal: Option<KeptTerminal>,
}

/// Whether a peer is the host's own user.
fn is_user(peer: &Peer) -> bool {
    winterop_sys::is_own_user(peer.credentials.uid, rustix::process::geteuid().as_raw())
}

fn too_many(crowded: Crowded) -> Refusal {
    Failure::TooMany { most: &crowded.most }.into()
}

fn crowded_out() -> Refusal {
    Failure::TooMany { most: &crate::client::MOST_OF_GUEST }.into()
}

/// What a message is; one that cannot be read is of no known type.
fn kind_of(frame: &Frame) -> MessageType {
    Message::parse(&frame.bytes).map_or(MessageType(0), |message| message.header.message_type)
}

/// A client's connection, and the variables of the server that hands it over.
pub type HandedOver = (OwnedFd, Vec<Vec<u8>>);

/// The client of a hand-over, and the variables of its server.
///
/// # Errors
/// What is wrong with it, in words, and what came with it: to close that may block.
pub fn handed_over(frame: Frame) -> Result<HandedOver, (String, Vec<OwnedFd>)> {
    let Frame { bytes, descriptors } = frame;
    match (server_variables(&bytes), <[OwnedFd; 1]>::try_from(descriptors)) {
        (Ok(variables), Ok([client])) => Ok((client, variables)),
        (Ok(_), Err(left)) => {
            Err(("a hand-over has one descriptor, its client's connection".to_owned(), left))
        }
        (Err(error), left) => Err((error, left.map_or_else(|left| left, Vec::from))),
    }
}

/// The variables with which a server hands over.
fn server_variables(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let message = Message::parse(bytes).map_err(|error| text(&error))?;
    let HandOff { extensions } = HandOff::decode(&message).map_err(|error| text(&error))?;
    let variables = extensions.strings(Tag::SERVER_VARIABLES).map_err(|error| text(&error))?;
    Ok(variables.into_iter().flatten().map(<[u8]>::to_vec).collect())
}

/// The next message that is no query; queries are answered, with a server's `variables` before the
/// host's own. None where the client has gone, or has asked for nothing.
async fn next_request(
    client: &mut Client,
    deadline: Option<Instant>,
    variables: &[Vec<u8>],
) -> Result<Option<Frame>, Refusal> {
    let Some(deadline) = deadline else { return next_message(client, variables).await };
    let place = client.place();
    tokio::select! {
        next = tokio::time::timeout_at(deadline.into(), next_message(client, variables)) => {
            let late = || Failure::NoRequest { seconds: &REQUEST_DEADLINE.as_secs() }.into();
            next.unwrap_or_else(|_| Err(late()))
        }
        () = Client::is_turned_away(place) => Err(crowded_out()),
    }
}

async fn next_message(
    client: &mut Client,
    variables: &[Vec<u8>],
) -> Result<Option<Frame>, Refusal> {
    let cannot_read = |error: &dyn std::fmt::Display| {
        wrong_request(&format!("the request cannot be read: {error}"))
    };
    let mut has_asked = false;
    loop {
        let received = client.receive().await.map_err(|error| cannot_read(&error))?;
        let Some(frame) = received else {
            if !has_asked {
                tell_presence(client);
            }
            return Ok(None);
        };
        let Some(answer) = answer_to(&frame, variables).map_err(|error| cannot_read(&error))?
        else {
            return Ok(Some(frame));
        };
        has_asked = true;
        client.close_aside(frame.descriptors);
        client.send(&answer, &[]).await.map_err(|error| cannot_read(&error))?;
    }
}

fn tell_presence(client: &Client) {
    if let Some(channel) = client.channel() {
        queries::tell_presence(channel);
    }
}

/// The answer to a query; none for another message.
fn answer_to(
    frame: &Frame,
    variables: &[Vec<u8>],
) -> Result<Option<Vec<u8>>, winterop_wire::DecodeError> {
    let message = Message::parse(&frame.bytes)?;
    let of_server = |name: &[u8]| {
        let mut values = variables.iter().filter_map(|entry| entry.strip_prefix(name));
        values.find_map(|rest| rest.strip_prefix(b"=")).map(<[u8]>::to_vec)
    };
    let variable = |name: &[u8]| of_server(name).or_else(|| queries::own_variable(name));
    let mut answer = Vec::new();
    Ok(queries::answer(&message, variable, &mut answer).map(|()| answer))
}

/// Waits for a launch's preparation and tells the client now and then that it goes on.
async fn wait_with_notices(
    client: &Client,
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
            Err(_) => notify(client, features, "Wine is still being prepared…").await,
        }
    }
}

/// Tells the client something that is no answer yet.
async fn notify(client: &Client, features: Features, text: &str) {
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
        let _ = client.send(&bytes, &[]).await;
    }
}

/// Waits for the interpreter to say that its program has ended. If it ends without a word it was
/// killed, and everything it had started is ended.
async fn follow_in_place(client: &mut Client, kept: Kept, survives: bool) -> Option<u32> {
    loop {
        match client.receive().await {
            Ok(Some(frame)) => {
                client.close_aside(frame.descriptors);
                if let Some(code) = exit_status(&frame.bytes) {
                    client.drop_aside(kept);
                    return Some(code);
                }
            }
            Ok(None) | Err(_) if survives => {
                client.drop_aside(kept);
                return None;
            }
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

fn exit_status(bytes: &[u8]) -> Option<u32> {
    let message = Message::parse(bytes).ok()?;
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

/// The signal that the interpreter wants its program to have.
fn wanted(frame: &Frame) -> Option<Signal> {
    let message = Message::parse(&frame.bytes).ok()?;
    match message.header.message_type {
        // The program asks the terminal itself: its size may have changed again.
        MessageType::WINDOW_SIZE_CHANGED => Some(Signal::WINCH),
        MessageType::SIGNAL => Signal::from_named_raw(SignalMessage::decode(&message).ok()?.number),
        _ => None,
    }
}

/// Tells the interpreter the exit code and waits until it has it, as WSL does.
async fn tell_end(client: &mut Client, code: u32) {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 2);
    if ExitStatus::new(code.cast_signed()).encode(&header, &mut bytes).is_err() {
        return;
    }
    if client.send(&bytes, &[]).await.is_ok() {
        let acknowledged = tokio::time::timeout(ACKNOWLEDGEMENT, client.receive()).await;
        if let Ok(Ok(Some(frame))) = acknowledged {
            client.close_aside(frame.descriptors);
        }
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
async fn refuse(client: &Client, refusal: &Refusal) {
    // Whoever asked and went away does not need the answer, nor who does not read it.
    let message = refusal_message(refusal);
    let _ = tokio::time::timeout(PATIENCE, client.send(&message, &[])).await;
}

fn refusal_message(refusal: &Refusal) -> Vec<u8> {
    let result = refusal.errno.raw_os_error();
    let response = CreateProcessResponse::refusal(result, &refusal.text, refusal.status);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    if let Err(error) = response.encode(&header, &mut bytes) {
        tracing::error!(%error, "a refusal that is too long");
    }
    bytes
}
