//! Command lines against splitters written from the documented rules.

mod support;

use proptest::prelude::*;
use winterop_translate::WindowsPath;
use winterop_translate::bytes::{from_utf16, to_utf16};
use winterop_translate::command_line::{BatchHost, Dialect, batch, c_runtime, command_processor};

/// UTF-16 units as people hardly ever write them: quotes, backslashes, blanks, wildcards,
/// characters outside the basic plane and halves of them.
fn argument() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        4 => Just(u16::from(b'"')),
        6 => Just(u16::from(b'\\')),
        4 => Just(u16::from(b' ')),
        2 => Just(u16::from(b'\t')),
        1 => Just(u16::from(b'\n')),
        2 => Just(u16::from(b'*')),
        4 => 0x61..0x7A_u16,
        2 => 0xD800..0xE000_u16,
        2 => 1..=u16::MAX,
    ];
    proptest::collection::vec(unit, 0..10)
}

fn program() -> impl Strategy<Value = Vec<u16>> {
    argument().prop_map(|mut name| {
        name.retain(|&unit| unit != u16::from(b'"'));
        name
    })
}

/// Text with what cmd treats specially.
fn text() -> impl Strategy<Value = String> {
    "[a-c \t&|<>()^!,;=%\\\\/\"\r\n\u{a0}ü😀.-]{0,8}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_list_of_arguments_comes_back(
        program in program(),
        others in proptest::collection::vec(argument(), 0..5),
    ) {
        let units = [vec![program], others].concat();
        let arguments: Vec<Vec<u8>> = units.iter().map(|each| from_utf16(each)).collect();
        let line = c_runtime(&arguments).unwrap().to_utf16();
        prop_assert_eq!(&support::c_runtime(&line), &units);
        prop_assert_eq!(&support::command_line_to_argv(&line), &units);
    }

    #[test]
    fn any_bytes_give_as_many_arguments(
        arguments in proptest::collection::vec(proptest::collection::vec(1..=255_u8, 0..8), 1..5),
    ) {
        if let Ok(line) = c_runtime(&arguments) {
            let split = support::c_runtime(&line.to_utf16());
            let expected: Vec<Vec<u16>> = arguments.iter().map(|each| to_utf16(each)).collect();
            prop_assert_eq!(split, expected);
        } else {
            prop_assert!(arguments[0].contains(&b'"'));
        }
    }

    #[test]
    fn a_batch_file_gets_one_command_and_every_argument(
        script in "C:\\\\[a-c &()^,;=!ü]{0,6}[.]cmd",
        arguments in proptest::collection::vec(text(), 0..5),
    ) {
        let processor = WindowsPath::from_bytes("C:\\windows\\system32\\cmd.exe");
        let host = BatchHost { processor: &processor, dialect: Dialect::Wine };
        let named = [vec!["name".to_string()], arguments.clone()].concat();
        let special = |text: &String| text.contains(['"', '\r', '\n', '%']);
        match batch(&host, &WindowsPath::from_bytes(script.clone()), &named) {
            Ok(line) => {
                let line = String::from_utf8(line.into_bytes()).unwrap();
                let behind = line.split_once(" /c ").unwrap().1;
                let split = support::batch(behind).unwrap();
                let without_quotes: Vec<&str> =
                    split.iter().map(|argument| argument.trim_matches('"')).collect();
                let expected = [vec![script], arguments].concat();
                prop_assert_eq!(without_quotes.len(), expected.len());
                for (found, argument) in without_quotes.iter().zip(&expected) {
                    prop_assert_eq!(found.trim_end_matches('\\'), argument.trim_end_matches('\\'));
                }
            }
            Err(_) => prop_assert!(arguments.iter().any(special)),
        }
    }

    #[test]
    fn percent_signs_do_not_end_the_quoting_on_windows(arguments in proptest::collection::vec(text(), 0..5)) {
        let processor = WindowsPath::from_bytes("C:\\windows\\system32\\cmd.exe");
        let host = BatchHost { processor: &processor, dialect: Dialect::Windows };
        let named = [vec!["name".to_string()], arguments.clone()].concat();
        if let Ok(line) = batch(&host, &WindowsPath::from_bytes("C:\\x.cmd"), &named) {
            let line = String::from_utf8(line.into_bytes()).unwrap();
            let behind = line.split_once(" /c ").unwrap().1;
            // cmd replaces each of these by nothing, and finds no other variable.
            let expanded = behind.replace("%cd:~,%", "");
            let percents = arguments.join("").matches('%').count();
            prop_assert_eq!(expanded.matches('%').count(), percents);
            prop_assert_eq!(behind.matches("%%cd:~,%").count(), percents);
            let split = support::batch(&expanded).unwrap();
            prop_assert_eq!(split.len(), arguments.len() + 1);
        }
    }

    #[test]
    fn the_command_processor_takes_any_bytes(
        arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..5),
    ) {
        let all = [vec![b"cmd.exe".to_vec(), b"/c".to_vec()], arguments].concat();
        let _ = command_processor(&all);
    }
}

#[test]
fn splitters_know_the_documented_examples() {
    for (line, expected) in [
        (r#"p "a b c" d e"#, &["p", "a b c", "d", "e"][..]),
        (r#"p "ab\"c" "\\" d"#, &["p", "ab\"c", "\\", "d"]),
        (r#"p a\\\b d"e f"g h"#, &["p", r"a\\\b", "de fg", "h"]),
        (r#"p a\\\"b c d"#, &["p", r#"a\"b"#, "c", "d"]),
        (r#"p a\\\\"b c" d e"#, &["p", r"a\\b c", "d", "e"]),
        (r#""p q\" a"#, &["p q\\", "a"]),
    ] {
        let units: Vec<u16> = line.encode_utf16().collect();
        let text = |split: Vec<Vec<u16>>| -> Vec<String> {
            split.iter().map(|each| String::from_utf16(each).unwrap()).collect()
        };
        assert_eq!(text(support::c_runtime(&units)), expected, "{line}");
        assert_eq!(text(support::command_line_to_argv(&units)), expected, "{line}");
    }
    // Where they differ: two quotes between quotes.
    let units: Vec<u16> = r#"p a"b"" c d"#.encode_utf16().collect();
    assert_eq!(support::c_runtime(&units).len(), 2);
    assert_eq!(support::command_line_to_argv(&units).len(), 4);
}
