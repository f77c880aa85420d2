//! Feeds lists of arguments to every way of writing a command line, and splits them again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_translate::WindowsPath;
use winterop_translate::bytes::to_utf16;
use winterop_translate::command_line::{
    BatchHost, Dialect, ProgramKind, batch, c_runtime, command_processor, verbatim,
};

#[path = "../../tests/support/mod.rs"]
mod support;

fuzz_target!(|input: &[u8]| {
    let arguments: Vec<&[u8]> = input.split(|&byte| byte == 0).collect();
    if let Ok(line) = c_runtime(&arguments) {
        let expected: Vec<Vec<u16>> = arguments.iter().map(|each| to_utf16(each)).collect();
        assert_eq!(support::c_runtime(&line.to_utf16()), expected);
        assert_eq!(support::command_line_to_argv(&line.to_utf16()), expected);
    }
    let _ = command_processor(&arguments);
    for kind in [ProgramKind::CommandProcessor, ProgramKind::Batch, ProgramKind::Other] {
        let _ = verbatim(kind, arguments[0], input);
    }
    let processor = WindowsPath::from_bytes("C:\\windows\\system32\\cmd.exe");
    let script = WindowsPath::from_bytes("C:\\a & b.cmd");
    for dialect in [Dialect::Windows, Dialect::Wine] {
        let host = BatchHost { processor: &processor, dialect };
        let Ok(line) = batch(&host, &script, &arguments) else { continue };
        let line = String::from_utf8_lossy(line.as_bytes()).replace("%cd:~,%", "");
        let (_, behind) = line.split_once(" /c ").expect("the switch is always there");
        let split = support::batch(behind).expect("one command");
        assert_eq!(split.len(), arguments.len());
    }
});
