//! Who splits command lines on Windows, written from the documentation of the rules.

/// Splits as the C runtime does since 2008 (`parse_cmdline` in UCRT).
pub(crate) fn c_runtime(line: &[u16]) -> Vec<Vec<u16>> {
    let (program, mut rest) = c_runtime_program(line);
    let mut arguments = vec![program];
    while let Some((argument, behind)) = c_runtime_argument(rest) {
        arguments.push(argument);
        rest = behind;
    }
    arguments
}

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

fn is_blank(unit: u16) -> bool {
    unit == u16::from(b' ') || unit == u16::from(b'\t')
}

fn c_runtime_program(line: &[u16]) -> (Vec<u16>, &[u16]) {
    let mut program = Vec::new();
    let mut quoted = false;
    for (index, &unit) in line.iter().enumerate() {
        match unit {
            QUOTE => quoted = !quoted,
            _ if is_blank(unit) && !quoted => return (program, &line[index..]),
            _ => program.push(unit),
        }
    }
    (program, &[])
}

fn c_runtime_argument(line: &[u16]) -> Option<(Vec<u16>, &[u16])> {
    let start = line.iter().position(|&unit| !is_blank(unit))?;
    let mut rest = &line[start..];
    let mut argument = Vec::new();
    let mut quoted = false;
    loop {
        let backslashes = rest.iter().take_while(|&&unit| unit == BACKSLASH).count();
        rest = &rest[backslashes..];
        if rest.first() != Some(&QUOTE) {
            argument.extend(std::iter::repeat_n(BACKSLASH, backslashes));
            match rest.split_first() {
                Some((&unit, behind)) if quoted || !is_blank(unit) => {
                    argument.push(unit);
                    rest = behind;
                }
                _ => return Some((argument, rest)),
            }
            continue;
        }
        argument.extend(std::iter::repeat_n(BACKSLASH, backslashes / 2));
        if backslashes % 2 == 1 {
            argument.push(QUOTE);
            rest = &rest[1..];
        } else if quoted && rest.get(1) == Some(&QUOTE) {
            argument.push(QUOTE);
            rest = &rest[2..];
        } else {
            quoted = !quoted;
            rest = &rest[1..];
        }
    }
}

/// Splits as `CommandLineToArgvW` does: another rule for the program's name, and for quotes next
/// to each other.
pub(crate) fn command_line_to_argv(line: &[u16]) -> Vec<Vec<u16>> {
    let (program, mut rest) = shell_program(line);
    let mut arguments = vec![program];
    while let Some(start) = rest.iter().position(|&unit| !is_blank(unit)) {
        let (argument, behind) = shell_argument(&rest[start..]);
        arguments.push(argument);
        rest = behind;
    }
    arguments
}

fn shell_program(line: &[u16]) -> (Vec<u16>, &[u16]) {
    if let Some((&QUOTE, inside)) = line.split_first() {
        let end = inside.iter().position(|&unit| unit == QUOTE).unwrap_or(inside.len());
        return (inside[..end].to_vec(), inside.get(end + 1..).unwrap_or_default());
    }
    let end = line.iter().position(|&unit| unit <= u16::from(b' ')).unwrap_or(line.len());
    (line[..end].to_vec(), &line[end..])
}

fn shell_argument(line: &[u16]) -> (Vec<u16>, &[u16]) {
    let mut argument = Vec::new();
    // Quotes seen, modulo three: one opens, two open and close, the third in a row is a character.
    let mut quotes = 0;
    let mut rest = line;
    while let Some(&unit) = rest.first() {
        let backslashes = rest.iter().take_while(|&&unit| unit == BACKSLASH).count();
        if backslashes > 0 {
            rest = &rest[backslashes..];
            if rest.first() != Some(&QUOTE) {
                argument.extend(std::iter::repeat_n(BACKSLASH, backslashes));
                continue;
            }
            argument.extend(std::iter::repeat_n(BACKSLASH, backslashes / 2));
            if backslashes % 2 == 1 {
                argument.push(QUOTE);
                rest = &rest[1..];
            } else {
                (quotes, rest) = shell_quotes(&mut argument, quotes, rest);
            }
        } else if unit == QUOTE {
            (quotes, rest) = shell_quotes(&mut argument, quotes, rest);
        } else if is_blank(unit) && quotes == 0 {
            break;
        } else {
            argument.push(unit);
            rest = &rest[1..];
        }
    }
    (argument, rest)
}

fn shell_quotes<'a>(argument: &mut Vec<u16>, quotes: u8, line: &'a [u16]) -> (u8, &'a [u16]) {
    let mut quotes = quotes;
    let mut rest = line;
    while rest.first() == Some(&QUOTE) {
        rest = &rest[1..];
        quotes += 1;
        if quotes == 3 {
            argument.push(QUOTE);
            quotes = 0;
        }
    }
    (if quotes == 2 { 0 } else { quotes }, rest)
}

/// Splits what stands behind `cmd.exe … /s /c`, as cmd hands it to a batch file; `None` if cmd would
/// see anything but one command.
pub(crate) fn batch(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut arguments = Vec::new();
    let mut argument = String::new();
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\0' | '\r' | '\n' | '\u{1a}' => return None,
            '"' => {
                quoted = !quoted;
                argument.push('"');
            }
            '&' | '|' | '<' | '>' | '(' | ')' | '^' | '%' | '!' if !quoted => return None,
            ' ' | '\t' | ',' | ';' | '=' | '\u{b}' | '\u{c}' | '\u{a0}' if !quoted => {
                if !argument.is_empty() {
                    arguments.push(std::mem::take(&mut argument));
                }
            }
            _ => argument.push(character),
        }
    }
    if !argument.is_empty() {
        arguments.push(argument);
    }
    (!quoted).then_some(arguments)
}
