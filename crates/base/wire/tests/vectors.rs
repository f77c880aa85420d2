//! Recorded messages, both directions: `vectors/create_process_vm.json` (from WSL) and
//! `vectors/extensions.json` (ours).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use winterop_wire::{
    CommonBlock, CreateProcess, CreateProcessResponse, CreateProcessUtilityVm, Credit, ErrorNotice,
    ExitStatus, Extensions, Features, HandOff, Header, HeaderForm, HostHello, Instance, Message,
    MessageType, Prepare, ResponseFlags, Signal, Tag, frame_length,
};

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<RecordedCase>,
}

#[derive(Deserialize)]
struct RecordedCase {
    name: String,
    expect: RecordedLaunch,
    message_hex: String,
}

#[derive(Deserialize)]
struct RecordedLaunch {
    port: u32,
    #[serde(flatten)]
    program: Program,
}

/// The common block as both files describe it.
#[derive(Deserialize)]
struct Program {
    #[serde(default)]
    standard_ids: [i64; 3],
    filename: String,
    working_directory: String,
    argv: Vec<String>,
    environment: Option<Vec<String>>,
    rows: u16,
    columns: u16,
    pseudoconsole: bool,
    #[serde(default)]
    extensions: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    tag: u16,
    name: Option<String>,
    #[serde(flatten)]
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Text(String),
    Strings(Vec<String>),
    Bytes(Vec<u8>),
    U8(u8),
    U32(u32),
    U64(u64),
}

#[derive(Deserialize)]
struct Ours {
    cases: Vec<OurCase>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct OurCase {
    name: String,
    message: Kind,
    transaction_id: u32,
    transaction_step: u32,
    #[serde(default)]
    decode_only: bool,
    expect: serde_json::Value,
    message_hex: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    message_hex: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    CreateProcess,
    CreateProcessVm,
    CreateProcessResponse,
    ExitStatus,
    Signal,
    ErrorNotice,
    HandOff,
    Instance,
    Prepare,
    Credit,
    HostHello,
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Reads a JSON escape of the recorder: `\xff` in its text stands for the byte 0xFF.
fn recorded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\xff") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(0xFF);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

#[test]
fn recorded_messages_decode_and_encode_to_the_same_bytes() {
    let path = root().join("vectors/create_process_vm.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let file: Recorded = serde_json::from_str(&text).unwrap();
    assert!(!file.cases.is_empty());
    for case in &file.cases {
        recorded_case(case);
    }
}

fn recorded_case(case: &RecordedCase) {
    let name = &case.name;
    let bytes = bytes_of(&case.message_hex);
    assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())), "{name}");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.form, HeaderForm::Current, "{name}");
    assert_eq!((message.header.transaction_id, message.header.transaction_step), (0, 1), "{name}");

    let launch = CreateProcessUtilityVm::decode(&message).unwrap();
    let program = &case.expect.program;
    let arguments: Vec<Vec<u8>> = program.argv.iter().map(|text| recorded(text)).collect();
    let expected = CreateProcessUtilityVm {
        port: case.expect.port,
        common: CommonBlock {
            arguments: arguments.iter().map(Vec::as_slice).collect(),
            ..common(program)
        },
    };
    assert_eq!(launch, expected, "{name}");

    let mut encoded = Vec::new();
    let header = Header::request(MessageType::CREATE_PROCESS_UTILITY_VM);
    expected.encode(&header, &mut encoded).unwrap();
    assert_eq!(encoded, bytes, "{name}");

    let mut legacy = Vec::new();
    expected.encode_as(HeaderForm::Legacy, &header, &mut legacy).unwrap();
    assert_eq!(legacy.len() + 8, bytes.len(), "{name}: header and padding are 4 bytes less each");
    assert_eq!(legacy[16..], bytes[24..], "{name}: the block is the same");
    let message = Message::parse(&legacy).unwrap();
    assert_eq!(message.form, HeaderForm::Legacy, "{name}");
    assert_eq!(CreateProcessUtilityVm::decode(&message).unwrap(), expected, "{name}");
}

fn slices(list: &[String]) -> Vec<&[u8]> {
    list.iter().map(|text| text.as_bytes()).collect()
}

fn common(program: &Program) -> CommonBlock<'_> {
    CommonBlock {
        standard_ids: program.standard_ids,
        filename: program.filename.as_bytes(),
        working_directory: program.working_directory.as_bytes(),
        arguments: slices(&program.argv),
        environment: program.environment.as_deref().map(slices),
        rows: program.rows,
        columns: program.columns,
        pseudoconsole: program.pseudoconsole,
        extensions: extensions(&program.extensions),
    }
}

fn extensions(items: &[Item]) -> Extensions<'_> {
    let mut extensions = Extensions::new();
    for item in items {
        let tag = Tag(item.tag);
        assert_eq!(tag.name(), item.name.as_deref(), "{tag}");
        match &item.value {
            Value::Text(text) => extensions.push(tag, text.as_bytes()),
            Value::Bytes(bytes) => extensions.push(tag, bytes.as_slice()),
            Value::U8(value) => extensions.push_u8(tag, *value),
            Value::U32(value) => extensions.push_u32(tag, *value),
            Value::U64(value) => extensions.push_u64(tag, *value),
            Value::Strings(list) => {
                let list = list.iter().map(|text| text.as_bytes());
                extensions.push_strings(tag, list).unwrap();
            }
        }
    }
    extensions
}

fn ours() -> Ours {
    let text = std::fs::read_to_string(root().join("vectors/extensions.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn extension_messages_decode_and_encode_to_the_same_bytes() {
    let file = ours();
    for case in &file.cases {
        let bytes = bytes_of(&case.message_hex);
        let message = Message::parse(&bytes).unwrap();
        let header = message.header;
        let ids = (header.transaction_id, header.transaction_step);
        assert_eq!(ids, (case.transaction_id, case.transaction_step), "{}", case.name);
        let encoded = check_case(case, &message);
        if !case.decode_only {
            assert_eq!(encoded, bytes, "{}", case.name);
        }
    }
}

fn expect<T: for<'a> Deserialize<'a>>(case: &OurCase) -> T {
    serde_json::from_value(case.expect.clone()).unwrap()
}

/// Compares what decodes with what is expected, and returns the expectation encoded.
fn check_case(case: &OurCase, message: &Message<'_>) -> Vec<u8> {
    macro_rules! check {
        ($type:ident, $expected:expr) => {{
            let expected = $expected;
            assert_eq!($type::decode(message).unwrap(), expected, "{}", case.name);
            let mut out = Vec::new();
            expected.encode(&message.header, &mut out).unwrap();
            out
        }};
    }
    match case.message {
        Kind::CreateProcess => {
            #[derive(Deserialize)]
            struct Expect {
                ids: [i64; 3],
                #[serde(flatten)]
                program: Program,
            }
            let expect: Expect = expect(case);
            let common = common(&expect.program);
            check!(CreateProcess, CreateProcess { standard_ids: expect.ids, common })
        }
        Kind::CreateProcessVm => {
            let expect: RecordedLaunch = expect(case);
            let common = common(&expect.program);
            check!(CreateProcessUtilityVm, CreateProcessUtilityVm { port: expect.port, common })
        }
        Kind::CreateProcessResponse => {
            #[derive(Deserialize)]
            struct Expect {
                result: i32,
                signal_pipe_id: i64,
                flags: u32,
                extensions: Vec<Item>,
            }
            let expect: Expect = expect(case);
            let response = CreateProcessResponse {
                result: expect.result,
                signal_pipe_id: expect.signal_pipe_id,
                flags: ResponseFlags(expect.flags),
                extensions: extensions(&expect.extensions),
            };
            check!(CreateProcessResponse, response)
        }
        Kind::ExitStatus => {
            #[derive(Deserialize)]
            struct Expect {
                code: i32,
                extensions: Vec<Item>,
            }
            let expect: Expect = expect(case);
            let extensions = extensions(&expect.extensions);
            check!(ExitStatus, ExitStatus { code: expect.code, extensions })
        }
        Kind::Signal => {
            #[derive(Deserialize)]
            struct Expect {
                number: i32,
            }
            check!(Signal, Signal { number: expect::<Expect>(case).number })
        }
        Kind::ErrorNotice => {
            #[derive(Deserialize)]
            struct Expect {
                extensions: Vec<Item>,
            }
            let expect: Expect = expect(case);
            check!(ErrorNotice, ErrorNotice { extensions: extensions(&expect.extensions) })
        }
        Kind::HandOff => {
            #[derive(Deserialize)]
            struct Expect {
                extensions: Vec<Item>,
            }
            let expect: Expect = expect(case);
            check!(HandOff, HandOff { extensions: extensions(&expect.extensions) })
        }
        Kind::Instance => check!(Instance, Instance),
        Kind::Prepare => check!(Prepare, Prepare),
        Kind::Credit => {
            #[derive(Deserialize)]
            struct Expect {
                stream: u32,
                bytes: u64,
            }
            let Expect { stream, bytes } = expect(case);
            check!(Credit, Credit { stream, bytes })
        }
        Kind::HostHello => {
            #[derive(Deserialize)]
            struct Expect {
                features: u32,
                pid: u32,
            }
            let Expect { features, pid } = expect(case);
            check!(HostHello, HostHello { features: Features(features), pid })
        }
    }
}

#[test]
fn refused_messages_are_refused() {
    for case in ours().refused {
        let bytes = bytes_of(&case.message_hex);
        let message = Message::parse(&bytes).unwrap();
        let refused = match message.header.message_type {
            MessageType::ERROR_NOTICE => ErrorNotice::decode(&message).is_err(),
            MessageType::CREATE_PROCESS_RESPONSE => {
                CreateProcessResponse::decode(&message).is_err()
            }
            MessageType::HAND_OFF => HandOff::decode(&message).is_err(),
            MessageType::SIGNAL => Signal::decode(&message).is_err(),
            other => panic!("{}: no decoder for {other}", case.name),
        };
        assert!(refused, "{}", case.name);
    }
}
