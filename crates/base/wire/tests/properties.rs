//! Properties: what is encoded decodes to the same value, with both headers, and no input makes a
//! decoder panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use winterop_wire::{
    CommonBlock, CreateLinuxProcess, CreateLinuxProcessUtilityVm, CreateProcess,
    CreateProcessResponse, CreateProcessUtilityVm, CreateSession, CreateSessionResponse, Credit,
    DriveMount, ErrorNotice, ExitStatus, Extensions, Features, HandOff, Header, HeaderForm,
    HostHello, Initialize, InitializeResponse, Instance, LinuxProcess, Message, MessageType,
    Prepare, ProcessFlags, Query, QueryEnvironmentVariable, ResponseFlags, ShellOptions, Signal,
    Tag, TerminateInstance, TransactionResult, VmIdReply, WindowSize, frame_length,
};

/// Encodes with both headers and decodes again.
macro_rules! round_trip {
    ($type:ident, $message:expr, $header:expr) => {
        for form in [HeaderForm::Current, HeaderForm::Legacy] {
            let mut bytes = b"already there".to_vec();
            $message.encode_as(form, &$header, &mut bytes).unwrap();
            let bytes = bytes.strip_prefix(b"already there").unwrap();
            prop_assert_eq!(frame_length(bytes), Ok(Some(bytes.len())));
            let message = Message::parse_as(form, bytes).unwrap();
            prop_assert_eq!(message.header.transaction_id, $header.transaction_id);
            prop_assert_eq!($type::decode(&message), Ok($message.clone()));
        }
    };
}

/// The same for messages that have one form.
macro_rules! round_trip_current {
    ($type:ident, $message:expr, $header:expr) => {
        let mut bytes = Vec::new();
        $message.encode(&$header, &mut bytes).unwrap();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.header.transaction_step, $header.transaction_step);
        prop_assert_eq!($type::decode(&message), Ok($message.clone()));
    };
}

fn header() -> impl Strategy<Value = Header> {
    any::<(u32, u32)>().prop_map(|(transaction_id, transaction_step)| Header {
        message_type: MessageType(0),
        size: 0,
        transaction_id,
        transaction_step,
    })
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8.., 0..20)
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8.., 1..20)
}

fn slices(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}

type Items = Vec<(u16, Vec<u8>)>;

fn items() -> impl Strategy<Value = Items> {
    vec((any::<u16>(), vec(any::<u8>(), 0..40)), 0..6)
}

fn extensions(items: &Items) -> Extensions<'_> {
    let mut extensions = Extensions::new();
    for (tag, value) in items {
        extensions.push(Tag(*tag), value.as_slice());
    }
    extensions
}

/// What a [`CommonBlock`] borrows from.
#[derive(Debug, Clone)]
struct Launch {
    numbers: ([i64; 3], u16, u16, bool),
    filename: Vec<u8>,
    directory: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Option<Vec<Vec<u8>>>,
    items: Items,
}

impl Launch {
    fn any() -> impl Strategy<Value = Self> {
        let strings = (string(), string(), vec(string(), 0..8), option::of(vec(entry(), 0..8)));
        (any::<([i64; 3], u16, u16, bool)>(), strings, items()).prop_map(
            |(numbers, (filename, directory, arguments, environment), items)| Self {
                numbers,
                filename,
                directory,
                arguments,
                environment,
                items,
            },
        )
    }

    fn common(&self) -> CommonBlock<'_> {
        let (standard_ids, rows, columns, pseudoconsole) = self.numbers;
        CommonBlock {
            standard_ids,
            filename: &self.filename,
            working_directory: &self.directory,
            arguments: slices(&self.arguments),
            environment: self.environment.as_deref().map(slices),
            rows,
            columns,
            pseudoconsole,
            extensions: extensions(&self.items),
        }
    }
}

/// What a [`LinuxProcess`] borrows from.
#[derive(Debug, Clone)]
struct LinuxLaunch {
    numbers: (u32, u32, u32),
    filename: Vec<u8>,
    directory: Vec<u8>,
    windows_path: Option<Vec<u8>>,
    user_name: Option<Vec<u8>>,
    lists: [Vec<Vec<u8>>; 3],
    items: Items,
}

impl LinuxLaunch {
    fn any() -> impl Strategy<Value = Self> {
        let strings = (string(), string(), option::of(string()), option::of(string()));
        let list = || vec(string(), 0..5);
        (any::<(u32, u32, u32)>(), strings, [list(), list(), list()], items()).prop_map(
            |(numbers, strings, lists, items)| {
                let (filename, directory, windows_path, user_name) = strings;
                Self { numbers, filename, directory, windows_path, user_name, lists, items }
            },
        )
    }

    fn process(&self) -> LinuxProcess<'_> {
        let (shell_options, default_uid, flags) = self.numbers;
        let [arguments, environment, windows_environment] = &self.lists;
        LinuxProcess {
            filename: &self.filename,
            working_directory: &self.directory,
            arguments: slices(arguments),
            environment: slices(environment),
            windows_environment: slices(windows_environment),
            windows_path: self.windows_path.as_deref(),
            shell_options: ShellOptions(shell_options),
            user_name: self.user_name.as_deref(),
            default_uid,
            flags: ProcessFlags(flags),
            extensions: extensions(&self.items),
        }
    }
}

proptest! {
    #[test]
    fn create_process(header in header(), standard_ids: [i64; 3], launch in Launch::any()) {
        let message = CreateProcess { standard_ids, common: launch.common() };
        round_trip!(CreateProcess, message, header);
    }

    #[test]
    fn create_process_utility_vm(header in header(), port: u32, launch in Launch::any()) {
        let message = CreateProcessUtilityVm { port, common: launch.common() };
        round_trip!(CreateProcessUtilityVm, message, header);
    }

    /// As WSL sends it, no descriptor ids: the header's form is then found out.
    #[test]
    fn launch_form_is_found_out(port: u32, launch in Launch::any()) {
        let common = CommonBlock { standard_ids: [0; 3], ..launch.common() };
        let message = CreateProcessUtilityVm { port, common };
        let header = Header::request(MessageType::CREATE_PROCESS_UTILITY_VM);
        for form in [HeaderForm::Current, HeaderForm::Legacy] {
            let mut bytes = Vec::new();
            message.encode_as(form, &header, &mut bytes).unwrap();
            let parsed = Message::parse(&bytes).unwrap();
            prop_assert_eq!(parsed.form, form);
            prop_assert_eq!(CreateProcessUtilityVm::decode(&parsed), Ok(message.clone()));
        }
    }

    #[test]
    fn create_linux_process(
        header in header(),
        ids: (i64, [i64; 3], i64),
        launch in LinuxLaunch::any(),
    ) {
        let (interop_server_id, standard_ids, fork_token) = ids;
        let process = launch.process();
        let message = CreateLinuxProcess { interop_server_id, standard_ids, fork_token, process };
        round_trip!(CreateLinuxProcess, message, header);
    }

    #[test]
    fn create_linux_process_utility_vm(
        header in header(),
        size: (u16, u16),
        launch in LinuxLaunch::any(),
    ) {
        let (rows, columns) = size;
        let message = CreateLinuxProcessUtilityVm { rows, columns, process: launch.process() };
        round_trip!(CreateLinuxProcessUtilityVm, message, header);
    }

    #[test]
    fn response_and_exit_status(
        header in header(),
        numbers: (i32, i64, u32),
        items in items(),
    ) {
        let (result, signal_pipe_id, flags) = numbers;
        let message = CreateProcessResponse {
            result,
            signal_pipe_id,
            flags: ResponseFlags(flags),
            extensions: extensions(&items),
        };
        round_trip!(CreateProcessResponse, message, header);
        let message = ExitStatus { code: result, extensions: extensions(&items) };
        round_trip!(ExitStatus, message, header);
        prop_assert_eq!(message.windows_code().cast_signed(), result);
    }

    #[test]
    fn fixed_messages(header in header(), numbers: (i64, u32, u16, u16, bool, u8, i32)) {
        let (console_id, port, rows, columns, truth, byte, number) = numbers;
        round_trip!(CreateSession, CreateSession { console_id }, header);
        round_trip!(CreateSessionResponse, CreateSessionResponse { port }, header);
        round_trip!(TerminateInstance, TerminateInstance { force: truth }, header);
        round_trip!(WindowSize, WindowSize { rows, columns }, header);
        round_trip!(TransactionResult, TransactionResult::Bool(truth), header);
        round_trip!(TransactionResult, TransactionResult::I32(number), header);
        round_trip!(TransactionResult, TransactionResult::U32(port), header);
        round_trip!(TransactionResult, TransactionResult::U8(byte), header);
        for query in
            [Query::DrvfsElevated, Query::FeatureFlags, Query::NetworkingMode, Query::VmId]
        {
            round_trip!(Query, query, header);
        }
    }

    #[test]
    fn short_strings(header in header(), text in string()) {
        round_trip!(QueryEnvironmentVariable, QueryEnvironmentVariable { text: &text }, header);
        round_trip!(VmIdReply, VmIdReply { id: &text }, header);
    }

    #[test]
    fn initialize(header in header(), texts in vec(option::of(string()), 6), numbers: [u32; 4]) {
        let text = |at: usize| texts[at].as_deref();
        let message = Initialize {
            host_name: text(0),
            domain: text(1),
            hosts_file: text(2),
            distribution: text(3),
            plan9_socket: text(4),
            time_zone: text(5),
            drives: numbers[0],
            drives_owner: numbers[1],
            feature_flags: numbers[2],
            drive_mount: DriveMount(numbers[3]),
        };
        round_trip!(Initialize, message, header);
    }

    #[test]
    fn initialize_response(
        header in header(),
        numbers: (u32, u32, u32, bool, u64),
        texts in (option::of(string()), option::of(string())),
    ) {
        let (plan9_port, default_uid, interop_port, systemd, pid_namespace) = numbers;
        let message = InitializeResponse {
            plan9_port,
            default_uid,
            interop_port,
            systemd,
            pid_namespace,
            flavour: texts.0.as_deref(),
            version: texts.1.as_deref(),
        };
        round_trip!(InitializeResponse, message, header);
    }

    #[test]
    fn own_messages(
        header in header(),
        numbers: (i32, u32, u32, u64),
        items in items(),
    ) {
        let (number, pid, uid, bytes) = numbers;
        round_trip_current!(Signal, Signal { number }, header);
        round_trip_current!(Credit, Credit { stream: pid, bytes }, header);
        round_trip_current!(HostHello, HostHello { features: Features(uid), pid }, header);
        round_trip_current!(ErrorNotice, ErrorNotice { extensions: extensions(&items) }, header);
        round_trip_current!(Instance, Instance, header);
        round_trip_current!(Prepare, Prepare, header);
        round_trip_current!(HandOff, HandOff { extensions: extensions(&items) }, header);
    }

    /// Any bytes behind a right header, for every type that has a decoder.
    #[test]
    fn rubbish_does_not_panic(body in vec(any::<u8>(), 0..300), small in vec(0_u8..80, 0..300)) {
        for body in [body, small] {
            decode_as_everything(&body);
        }
    }

    /// A right message with a few bytes changed gets further into the decoders than rubbish does.
    #[test]
    fn damaged_messages_do_not_panic(
        launch in Launch::any(),
        linux in LinuxLaunch::any(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: prop::sample::Index,
    ) {
        let header = Header::request(MessageType(0));
        let mut messages = [Vec::new(), Vec::new(), Vec::new()];
        let [vm, one, leader] = &mut messages;
        CreateProcessUtilityVm { port: 1, common: launch.common() }.encode(&header, vm).unwrap();
        CreateProcess { standard_ids: [0; 3], common: launch.common() }
            .encode(&header, one)
            .unwrap();
        CreateLinuxProcessUtilityVm { rows: 1, columns: 1, process: linux.process() }
            .encode(&header, leader)
            .unwrap();
        for bytes in &mut messages {
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let _ = Message::parse(bytes);
            decode_as_everything(&bytes[16..]);
            decode_as_everything(&bytes[16..16 + cut.index(bytes.len() - 16)]);
        }
    }
}

/// Puts a right header of each type and form before `body` and decodes it as all that it can be.
fn decode_as_everything(body: &[u8]) {
    for form in [HeaderForm::Current, HeaderForm::Legacy] {
        for number in (0..80).chain(0x5749_0000..0x5749_0008) {
            let size = form.size() + body.len();
            let mut bytes = vec![0; form.size()];
            bytes[..4].copy_from_slice(&u32::to_le_bytes(number));
            bytes[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
            bytes.extend_from_slice(body);
            for message in [Message::parse(&bytes), Message::parse_as(form, &bytes)] {
                let _ = message.map(|message| decode_all(&message));
            }
        }
    }
}

fn decode_all(message: &Message<'_>) {
    let _ = CreateProcess::decode(message);
    let _ = CreateProcessUtilityVm::decode(message);
    let _ = CreateLinuxProcess::decode(message);
    let _ = CreateLinuxProcessUtilityVm::decode(message);
    let _ = CreateProcessResponse::decode(message);
    let _ = ExitStatus::decode(message);
    let _ = WindowSize::decode(message);
    let _ = Query::decode(message);
    let _ = QueryEnvironmentVariable::decode(message);
    let _ = VmIdReply::decode(message);
    let _ = TransactionResult::decode(message);
    let _ = CreateSession::decode(message);
    let _ = CreateSessionResponse::decode(message);
    let _ = TerminateInstance::decode(message);
    let _ = Initialize::decode(message);
    let _ = InitializeResponse::decode(message);
    let _ = Signal::decode(message);
    let _ = ErrorNotice::decode(message);
    let _ = Credit::decode(message);
    let _ = HostHello::decode(message);
    let _ = HandOff::decode(message);
    let _ = Instance::decode(message);
    let _ = Prepare::decode(message);
}
