//! Where each field stands, with both headers, and what decoders refuse.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use winterop_wire::{
    CommonBlock, CreateLinuxProcess, CreateLinuxProcessUtilityVm, CreateProcess,
    CreateProcessResponse, CreateProcessUtilityVm, CreateSession, CreateSessionResponse,
    DecodeError, DriveMount, EncodeError, ExitStatus, Extensions, Header, HeaderForm, Initialize,
    InitializeResponse, LinuxProcess, MAX_MESSAGE, Message, MessageType, ProcessFlags, Query,
    QueryEnvironmentVariable, ResponseFlags, Role, ShellOptions, Tag, TerminateInstance,
    TransactionResult, VmIdReply, WindowSize, frame_length,
};

const FORMS: [HeaderForm; 2] = [HeaderForm::Current, HeaderForm::Legacy];

/// Encodes with both headers: the 16-byte form first.
macro_rules! both {
    ($message:expr) => {{
        let message = $message;
        FORMS.map(|form| {
            let mut out = Vec::new();
            let header = Header { transaction_id: 7, ..Header::request(MessageType(0)) };
            message.encode_as(form, &header, &mut out).unwrap();
            out
        })
    }};
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn string_at(bytes: &[u8], at: u32) -> &[u8] {
    bytes[at as usize..].split(|byte| *byte == 0).next().unwrap()
}

/// A small but complete launch.
fn launch() -> CommonBlock<'static> {
    CommonBlock {
        filename: b"C:\\x.exe",
        working_directory: b"C:\\",
        arguments: vec![b"x.exe", b"one"],
        environment: Some(vec![b"WSLENV="]),
        ..CommonBlock::default()
    }
}

fn vm_bytes() -> Vec<u8> {
    let [current, _] = both!(CreateProcessUtilityVm { port: 9, common: launch() });
    current
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn decode_vm(bytes: &[u8]) -> Result<CreateProcessUtilityVm<'_>, DecodeError> {
    CreateProcessUtilityVm::decode(&Message::parse_as(HeaderForm::Current, bytes)?)
}

#[test]
fn headers() {
    let [current, legacy] = both!(ExitStatus::new(-2));
    assert_eq!(current, [9, 0, 0, 0, 20, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255]);
    assert_eq!(legacy, [9, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, 254, 255, 255, 255]);
    let message = Message::parse(&current).unwrap();
    assert_eq!(message.header.message_type, MessageType::EXIT_STATUS);
    assert_eq!((message.header.size, message.header.transaction_step), (20, 1));
    assert_eq!(message.header.reply(MessageType::RESULT_BOOL).transaction_step, 2);
}

#[test]
fn messages_of_fixed_size_tell_their_header_by_size() {
    let sizes = [
        (both!(ExitStatus::new(1)), 20, 16),
        (both!(WindowSize { rows: 1, columns: 2 }), 20, 16),
        (both!(CreateProcessResponse::default()), 40, 32),
        (both!(CreateSessionResponse { port: 1 }), 20, 16),
        (both!(TerminateInstance { force: true }), 20, 16),
        (both!(TransactionResult::Bool(true)), 20, 16),
        (both!(TransactionResult::I32(-1)), 20, 16),
        (both!(TransactionResult::U32(1)), 20, 16),
        (both!(TransactionResult::U8(1)), 20, 16),
        (both!(Query::VmId), 16, 12),
    ];
    for ([current, legacy], current_size, legacy_size) in sizes {
        assert_eq!((current.len(), legacy.len()), (current_size, legacy_size));
        assert_eq!(Message::parse(&current).unwrap().form, HeaderForm::Current);
        assert_eq!(Message::parse(&legacy).unwrap().form, HeaderForm::Legacy);
    }
}

#[test]
fn an_extension_block_does_not_hide_the_smaller_header() {
    let mut extensions = Extensions::new();
    extensions.push_u64(Tag::LAUNCH_ID, 1);
    let status = ExitStatus { code: 3, extensions: extensions.clone() };
    let response = CreateProcessResponse { extensions, ..CreateProcessResponse::default() };
    for (form, bytes) in FORMS.into_iter().zip(both!(status.clone())) {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.form, ExitStatus::decode(&message)), (form, Ok(status.clone())));
    }
    for (form, bytes) in FORMS.into_iter().zip(both!(response.clone())) {
        let message = Message::parse(&bytes).unwrap();
        let decoded = CreateProcessResponse::decode(&message);
        assert_eq!((message.form, decoded), (form, Ok(response.clone())));
    }
}

#[test]
fn create_process_response() {
    let response = CreateProcessResponse {
        result: 13,
        signal_pipe_id: -3,
        flags: ResponseFlags::GRAPHICAL,
        extensions: Extensions::new(),
    };
    let [current, legacy] = both!(response);
    assert_eq!((u32_at(&current, 16), i64_at(&current, 24), u32_at(&current, 32)), (13, -3, 1));
    assert_eq!((u32_at(&legacy, 12), i64_at(&legacy, 16), u32_at(&legacy, 24)), (13, -3, 1));
}

#[test]
fn create_process_on_one_kernel() {
    let message = CreateProcess { standard_ids: [1, 2, 3], common: launch() };
    for bytes in both!(message) {
        assert_eq!((i64_at(&bytes, 16), i64_at(&bytes, 32)), (1, 3));
        assert_eq!(u32_at(&bytes, 40 + 24), 49);
        assert_eq!(string_at(&bytes, 40 + 49), b"C:\\x.exe");
        assert_eq!(bytes[76..78], [2, 0], "number of arguments");
    }
}

#[test]
fn sessions() {
    for bytes in both!(CreateSession { console_id: -5 }) {
        assert_eq!((bytes.len(), i64_at(&bytes, 16)), (24, -5));
    }
    let [current, legacy] = both!(QueryEnvironmentVariable { text: b"PATH" });
    assert_eq!((&current[16..], &legacy[12..]), (&b"PATH\0"[..], &b"PATH\0"[..]));
    let [current, legacy] = both!(VmIdReply { id: b"0-0" });
    assert_eq!((&current[16..], &legacy[12..]), (&b"0-0\0"[..], &b"0-0\0"[..]));
}

#[test]
fn initialize() {
    let message = Initialize {
        host_name: Some(b"host"),
        domain: Some(b""),
        distribution: Some(b"Debian"),
        drives: 0b100,
        drives_owner: 1000,
        feature_flags: 5,
        drive_mount: DriveMount::PLAIN,
        ..Initialize::default()
    };
    for (form, bytes) in FORMS.into_iter().zip(both!(message)) {
        let shift = 16 - form.size();
        assert_eq!(u32_at(&bytes, 16 - shift), 56 - shift as u32);
        assert_eq!(string_at(&bytes, u32_at(&bytes, 28 - shift)), b"Debian");
        assert_eq!(u32_at(&bytes, 24 - shift), 0, "no hosts file");
        let numbers = [40, 44, 48, 52].map(|at| u32_at(&bytes, at - shift));
        assert_eq!(numbers, [4, 1000, 5, 1]);
        let parsed = Message::parse_as(form, &bytes).unwrap();
        assert_eq!(Initialize::decode(&parsed), Ok(message));
    }
}

#[test]
fn initialize_response() {
    let message = InitializeResponse {
        plan9_port: 1,
        default_uid: 2,
        interop_port: InitializeResponse::INTEROP_OFF,
        systemd: true,
        pid_namespace: 0x1_0000_0002,
        flavour: Some(b"debian"),
        version: Some(b"12"),
    };
    let [current, legacy] = both!(message);
    assert_eq!([16, 20, 24].map(|at| u32_at(&current, at)), [1, 2, u32::MAX]);
    assert_eq!([12, 16, 20].map(|at| u32_at(&legacy, at)), [1, 2, u32::MAX]);
    assert_eq!((current[28], legacy[24]), (1, 1));
    for bytes in [&current, &legacy] {
        assert_eq!((i64_at(bytes, 32), u32_at(bytes, 40)), (0x1_0000_0002, 48));
        assert_eq!(string_at(bytes, u32_at(bytes, 44)), b"12");
    }
}

fn linux_process() -> LinuxProcess<'static> {
    LinuxProcess {
        filename: b"/bin/ls",
        working_directory: b"/",
        arguments: vec![b"ls", b""],
        environment: vec![b"A=1"],
        windows_environment: vec![b"B=2", b"C=3"],
        windows_path: Some(b"C:\\Windows"),
        shell_options: ShellOptions::LOGIN,
        user_name: Some(b"me"),
        default_uid: 1000,
        flags: ProcessFlags::STDIN_CONSOLE.with(ProcessFlags::INTEROP_ENABLED),
        extensions: Extensions::new(),
    }
}

fn check_linux_block(block: &[u8]) {
    let strings = [0, 4, 8, 16, 24, 32, 40].map(|at| string_at(block, u32_at(block, at)));
    let expected: [&[u8]; 7] = [b"/bin/ls", b"/", b"ls", b"A=1", b"B=2", b"C:\\Windows", b"me"];
    assert_eq!(strings, expected);
    assert_eq!(u32_at(block, 0), 52);
    assert_eq!([12, 20, 28, 36, 44, 48].map(|at| u32_at(block, at)), [2, 1, 2, 1, 1000, 17]);
}

#[test]
fn linux_process_on_one_kernel() {
    let message = CreateLinuxProcess {
        interop_server_id: 1,
        standard_ids: [2, 3, 4],
        fork_token: 5,
        process: linux_process(),
    };
    for bytes in both!(message.clone()) {
        assert_eq!([16, 24, 32, 40, 48].map(|at| i64_at(&bytes, at)), [1, 2, 3, 4, 5]);
        check_linux_block(&bytes[56..]);
        let parsed = Message::parse(&bytes).unwrap();
        assert_eq!(CreateLinuxProcess::decode(&parsed), Ok(message.clone()));
    }
}

#[test]
fn linux_process_in_a_vm() {
    let message = CreateLinuxProcessUtilityVm { rows: 24, columns: 80, process: linux_process() };
    let [current, legacy] = both!(message.clone());
    assert_eq!((&current[16..20], &legacy[12..16]), (&[24, 0, 80, 0][..], &[24, 0, 80, 0][..]));
    check_linux_block(&current[20..]);
    check_linux_block(&legacy[16..]);
    for (form, bytes) in FORMS.into_iter().zip([current, legacy]) {
        let parsed = Message::parse_as(form, &bytes).unwrap();
        assert_eq!(CreateLinuxProcessUtilityVm::decode(&parsed), Ok(message.clone()));
    }
}

/// The form is guessed from a launch towards Windows; a session leader's message with many
/// variables must not look like one.
#[test]
fn a_session_leaders_message_is_not_taken_for_the_older_header() {
    let environment = vec![&b"A=1"[..]; 300];
    let process = LinuxProcess { environment, ..linux_process() };
    let [current, _] = both!(CreateLinuxProcessUtilityVm { rows: 24, columns: 80, process });
    assert_eq!(Message::parse(&current).unwrap().form, HeaderForm::Current);
}

#[test]
fn frame_length_needs_eight_bytes_and_refuses_impossible_sizes() {
    let head = |message_type: u32, size: u32| {
        let mut bytes = message_type.to_le_bytes().to_vec();
        bytes.extend(size.to_le_bytes());
        bytes
    };
    for have in 0..8 {
        assert_eq!(frame_length(&head(9, 20)[..have]), Ok(None));
    }
    assert_eq!(frame_length(&head(9, 20)), Ok(Some(20)));
    assert_eq!(frame_length(&head(9, 16)), Ok(Some(16)));
    assert_eq!(frame_length(&head(26, 12)), Ok(Some(12)), "the older header alone");
    assert_eq!(frame_length(&head(1, MAX_MESSAGE)), Ok(Some(16 << 20)));
    for (message_type, size) in
        [(9, 0), (9, 15), (99, 12), (26, 11), (1, MAX_MESSAGE + 1), (1, 17 << 20)]
    {
        let refused = frame_length(&head(message_type, size));
        assert!(matches!(refused, Err(DecodeError::Size { .. })), "{message_type} {size}");
    }
}

#[test]
fn parsing_takes_one_message_and_leaves_the_next() {
    let mut bytes = vm_bytes();
    let size = bytes.len();
    assert_eq!(
        Message::parse(&bytes[..size - 1]),
        Err(DecodeError::Truncated { have: size - 1, size })
    );
    bytes.extend_from_slice(&[9, 0, 0, 0]);
    assert_eq!(Message::parse(&bytes).unwrap().bytes.len(), size);
}

#[test]
fn the_type_is_checked() {
    let bytes = vm_bytes();
    let message = Message::parse(&bytes).unwrap();
    let expected = DecodeError::Type {
        expected: MessageType::EXIT_STATUS,
        found: MessageType::CREATE_PROCESS_UTILITY_VM,
    };
    assert_eq!(ExitStatus::decode(&message), Err(expected));
    assert_eq!(
        expected.to_string(),
        "expected LxInitMessageExitStatus (9), got LxInitMessageCreateProcessUtilityVm (8)"
    );
}

#[test]
fn offsets_outside_the_strings_are_refused() {
    // File name, working directory, arguments, environment.
    for field_at in [24 + 24, 24 + 28, 24 + 32, 24 + 40] {
        for offset in [1, 48, 10_000, u32::MAX] {
            let mut bytes = vm_bytes();
            put_u32(&mut bytes, field_at, offset);
            let refused = decode_vm(&bytes);
            assert!(matches!(refused, Err(DecodeError::Offset { .. })), "{field_at} {offset}");
        }
    }
    let mut bytes = vm_bytes();
    put_u32(&mut bytes, 24 + 24, 10_000);
    let size = bytes.len();
    assert_eq!(
        decode_vm(&bytes).unwrap_err().to_string(),
        format!(
            "LxInitMessageCreateProcessUtilityVm (8): file name is said to begin at byte 10024, \
             outside the strings (bytes 73 to {size})"
        )
    );
}

#[test]
fn missing_nuls_are_refused() {
    let mut bytes = vm_bytes();
    bytes[24 + 49..].fill(b'x');
    assert!(matches!(
        decode_vm(&bytes),
        Err(DecodeError::Unterminated { field: "file name", offset: 73, .. })
    ));

    let mut bytes = vm_bytes();
    let last = bytes.len() - 1;
    bytes[last] = b'x';
    assert!(matches!(
        decode_vm(&bytes),
        Err(DecodeError::Count { field: "arguments", count: 2, found: 1, .. })
    ));
}

#[test]
fn more_arguments_than_strings_are_refused() {
    let mut bytes = vm_bytes();
    put_u16(&mut bytes, 24 + 36, 3);
    assert!(matches!(decode_vm(&bytes), Err(DecodeError::Count { count: 3, found: 2, .. })));
    put_u16(&mut bytes, 24 + 36, u16::MAX);
    assert!(matches!(decode_vm(&bytes), Err(DecodeError::Count { count: 65535, found: 2, .. })));
}

#[test]
fn arguments_that_run_into_another_string_are_refused() {
    // A sender with another order: arguments first, then the file name.
    let mut bytes = vm_bytes();
    bytes.truncate(24 + 49);
    bytes.extend_from_slice(b"a\0b\0f\0d\0");
    let size = u32::try_from(bytes.len()).unwrap();
    put_u32(&mut bytes, 4, size);
    for (field_at, offset) in [(32, 49), (24, 53), (28, 55), (40, 0)] {
        put_u32(&mut bytes, 24 + field_at, offset);
    }
    let decoded = decode_vm(&bytes).unwrap();
    assert_eq!(decoded.common.arguments, [b"a", b"b"]);
    assert_eq!((decoded.common.filename, decoded.common.working_directory), (&b"f"[..], &b"d"[..]));

    put_u16(&mut bytes, 24 + 36, 3);
    assert!(matches!(decode_vm(&bytes), Err(DecodeError::Count { count: 3, found: 2, .. })));
}

#[test]
fn an_environment_needs_its_empty_entry() {
    let mut bytes = vm_bytes();
    bytes.truncate(24 + 49);
    bytes.extend_from_slice(b"f\0d\0a\0A=1\0");
    let size = u32::try_from(bytes.len()).unwrap();
    put_u32(&mut bytes, 4, size);
    put_u16(&mut bytes, 24 + 36, 1);
    for (field_at, offset) in [(24, 49), (28, 51), (32, 53), (40, 55)] {
        put_u32(&mut bytes, 24 + field_at, offset);
    }
    assert!(matches!(
        decode_vm(&bytes),
        Err(DecodeError::Unterminated { field: "environment", .. })
    ));

    // With the empty entry, and with or without the further NUL, the block is found behind it.
    for end in [&b"\0"[..], b"\0\0"] {
        let mut bytes = bytes.clone();
        bytes.extend_from_slice(end);
        bytes.extend_from_slice(b"\x7fWNTROP1\x04\0\0\0\x01\0\0\0\x01");
        let size = u32::try_from(bytes.len()).unwrap();
        put_u32(&mut bytes, 4, size);
        let decoded = decode_vm(&bytes).unwrap();
        assert_eq!(decoded.common.environment, Some(vec![&b"A=1"[..]]));
        assert_eq!(decoded.common.extensions.get(Tag::PLACEMENT), Some(&[1_u8][..]));
    }
}

#[test]
fn longer_messages_junk_ids_and_padding_are_accepted() {
    let mut bytes = vm_bytes();
    bytes.extend_from_slice(b"something newer");
    let size = u32::try_from(bytes.len()).unwrap();
    put_u32(&mut bytes, 4, size);
    put_u32(&mut bytes, 8, 0xDEAD_BEEF);
    put_u32(&mut bytes, 12, 0xDEAD_BEEF);
    put_u32(&mut bytes, 20, 0xDEAD_BEEF);
    put_u16(&mut bytes, 24 + 38, 0xDEAD);
    assert_eq!(decode_vm(&bytes).unwrap().common, launch());

    let [mut status, _] = both!(ExitStatus::new(4));
    status.extend_from_slice(b"something newer");
    put_u32(&mut status, 4, 35);
    let message = Message::parse(&status).unwrap();
    assert_eq!(ExitStatus::decode(&message), Ok(ExitStatus::new(4)));
}

#[test]
fn fixed_layouts_that_are_cut_off_are_refused() {
    let [current, _] = both!(launch_on_one_kernel());
    for size in 16..40 + 49 {
        let mut bytes = current[..size].to_vec();
        put_u32(&mut bytes, 4, u32::try_from(size).unwrap());
        let message = Message::parse(&bytes).unwrap();
        let refused = CreateProcess::decode(&message);
        assert!(matches!(refused, Err(DecodeError::Layout { .. })), "{size}");
    }
}

fn launch_on_one_kernel() -> CreateProcess<'static> {
    CreateProcess { standard_ids: [0; 3], common: launch() }
}

#[test]
fn encoding_refuses_what_cannot_be_sent_and_leaves_the_output_alone() {
    let header = Header::request(MessageType::CREATE_PROCESS);
    let big = vec![b'x'; MAX_MESSAGE as usize];
    let refused: [(CommonBlock<'_>, EncodeError); 4] = [
        (
            CommonBlock { filename: b"a\0b", ..launch() },
            EncodeError::Nul { field: "file name", at: 1 },
        ),
        (
            CommonBlock { arguments: vec![b"a"; 65_536], ..launch() },
            EncodeError::TooMany { field: "arguments", count: 65_536, limit: 65_535 },
        ),
        (
            CommonBlock { environment: Some(vec![b"A=1", b""]), ..launch() },
            EncodeError::EmptyEntry { field: "environment", index: 1 },
        ),
        (
            CommonBlock { filename: &big, ..launch() },
            EncodeError::TooLong {
                message: MessageType::CREATE_PROCESS,
                size: 40 + 49 + MAX_MESSAGE as usize,
            },
        ),
    ];
    for (common, expected) in refused {
        let mut out = b"before".to_vec();
        let message = CreateProcess { standard_ids: [0; 3], common };
        assert_eq!(message.encode(&header, &mut out), Err(expected));
        assert_eq!(out, b"before");
    }
}

#[test]
fn most_arguments_possible() {
    let common = CommonBlock { arguments: vec![b""; 65_535], ..launch() };
    let [bytes, _] = both!(CreateProcessUtilityVm { port: 0, common: common.clone() });
    assert_eq!(decode_vm(&bytes).unwrap().common, common);
}

#[test]
fn lists_without_bound_are_refused() {
    let mut bytes = vm_bytes();
    bytes.truncate(24 + 49);
    bytes.extend_from_slice(b"\0");
    bytes.extend(b"x\0".repeat(65_536));
    bytes.extend_from_slice(b"\0");
    let size = u32::try_from(bytes.len()).unwrap();
    put_u32(&mut bytes, 4, size);
    put_u16(&mut bytes, 24 + 36, 0);
    for (field_at, offset) in [(24, 49), (28, 49), (32, 49), (40, 50)] {
        put_u32(&mut bytes, 24 + field_at, offset);
    }
    assert!(matches!(decode_vm(&bytes), Err(DecodeError::TooMany { limit: 65_535, .. })));

    let mut extensions = Extensions::new();
    for _ in 0..=winterop_wire::MAX_ITEMS {
        extensions.push(Tag(9), &b""[..]);
    }
    let refused = ExitStatus { code: 0, extensions }
        .encode(&Header::plain(MessageType::EXIT_STATUS, 1), &mut Vec::new());
    assert!(matches!(refused, Err(EncodeError::TooMany { .. })));
}

#[test]
fn extension_values() {
    let mut extensions = Extensions::new();
    extensions.push_roles([Role::Stdin, Role::WorkingDirectory, Role::Unknown(200)]);
    extensions.push(Tag::HOST_FEATURES, &[1, 2][..]);
    extensions.push(Tag::SET_VARIABLES, &b"A=1\0B="[..]);
    extensions.push_strings(Tag::UNSET_VARIABLES, [&b"X"[..], b"", b"Y"]).unwrap();
    extensions.push_u8(Tag::PLACEMENT, 1);
    extensions.push_u8(Tag::PLACEMENT, 0);

    let roles: Vec<Role> = extensions.roles().unwrap().collect();
    assert_eq!(roles, [Role::Stdin, Role::WorkingDirectory, Role::Unknown(200)]);
    assert_eq!(extensions.placement(), Ok(winterop_wire::Placement::Hosted), "the first counts");
    let list: Vec<&[u8]> = extensions.strings(Tag::UNSET_VARIABLES).unwrap().unwrap().collect();
    assert_eq!(list, [&b"X"[..], b"", b"Y"]);
    assert!(extensions.strings(Tag::SET_VARIABLES).is_err());
    assert_eq!(
        extensions.features(Tag::HOST_FEATURES).unwrap_err().to_string(),
        "extension item HostFeatures (38): 2 bytes where 4 belong"
    );
    assert_eq!(extensions.get_u32(Tag::CLIENT_FEATURES), Ok(None));
    assert!(extensions.strings(Tag::LINUX_VARIABLES).unwrap().is_none());
    assert!(extensions.push_strings(Tag::SET_VARIABLES, [&b"A\0"[..]]).is_err());
}
