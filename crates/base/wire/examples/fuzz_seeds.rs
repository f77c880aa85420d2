//! Writes the recorded messages and the extension vectors as files, one message each, for the fuzz
//! target to begin with: `cargo run --release -p winterop-wire --example fuzz_seeds`.
#![expect(clippy::unwrap_used, reason = "a development tool may end with a panic")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use winterop_wire::{
    CommonBlock, CreateLinuxProcess, CreateLinuxProcessUtilityVm, CreateProcess, CreateSession,
    Header, HeaderForm, Initialize, InitializeResponse, LinuxProcess, MessageType, Query,
    QueryEnvironmentVariable, TerminateInstance, TransactionResult, WindowSize,
};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds = here.join("fuzz/seeds/decode");
    fs::create_dir_all(&seeds).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(seeds.join(name), bytes).unwrap();
    for file in ["../../../vectors/create_process_vm.json", "../../../vectors/extensions.json"] {
        match fs::read_to_string(here.join(file)) {
            Ok(text) => vectors(&text, write),
            Err(error) => eprintln!("fuzz_seeds: {file} left out: {error}"),
        }
    }
    sessions(write);
    println!("seeds are in {}", seeds.display());
}

/// One file for each message of a vector file.
fn vectors(text: &str, write: impl Fn(&str, &[u8])) {
    let file: Value = serde_json::from_str(text).unwrap();
    let lists = ["cases", "refused"].into_iter().filter_map(|name| file[name].as_array());
    for case in lists.flatten() {
        let hex = case["message_hex"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        write(case["name"].as_str().unwrap(), &bytes);
    }
}

/// Messages that no vector file has, with both headers.
fn sessions(write: impl Fn(&str, &[u8])) {
    let process = LinuxProcess {
        filename: b"/bin/ls",
        working_directory: b"/",
        arguments: vec![b"ls", b"-l"],
        environment: vec![b"A=1"],
        windows_environment: vec![b"B=2"],
        windows_path: Some(b"C:\\Windows"),
        user_name: Some(b"me"),
        ..LinuxProcess::default()
    };
    let common = CommonBlock { arguments: vec![b"x"], ..CommonBlock::default() };
    let initialize =
        Initialize { host_name: Some(b"host"), time_zone: Some(b"UTC"), ..Initialize::default() };
    let initialized =
        InitializeResponse { flavour: Some(b"debian"), ..InitializeResponse::default() };
    let header = Header::plain(MessageType(0), 1);
    for (form, suffix) in [(HeaderForm::Current, ""), (HeaderForm::Legacy, "_legacy")] {
        macro_rules! seed {
            ($name:literal, $message:expr) => {{
                let mut bytes = Vec::new();
                $message.encode_as(form, &header, &mut bytes).unwrap();
                write(&format!("{}{suffix}", $name), &bytes);
            }};
        }
        seed!("plain_launch", CreateProcess { common: common.clone(), ..CreateProcess::default() });
        seed!(
            "leader_one_kernel",
            CreateLinuxProcess { process: process.clone(), ..CreateLinuxProcess::default() }
        );
        seed!(
            "leader_vm",
            CreateLinuxProcessUtilityVm { rows: 24, columns: 80, process: process.clone() }
        );
        seed!("initialize", initialize);
        seed!("initialize_response", initialized);
        seed!("create_session", CreateSession { console_id: 1 });
        seed!("terminate", TerminateInstance { force: true });
        seed!("window_size", WindowSize { rows: 24, columns: 80 });
        seed!("query_vm_id", Query::VmId);
        seed!("query_variable", QueryEnvironmentVariable { text: b"PATH" });
        seed!("result_u32", TransactionResult::U32(50_123));
    }
}
