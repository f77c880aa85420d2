//! The records of pax headers: `LENGTH KEY=VALUE\n`. A value may hold any byte, newlines too.

use super::Time;

/// Splits a header's data into its records; `None` where it is not made of records.
#[must_use]
pub fn records(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !data.is_empty() && data.iter().any(|byte| *byte != 0) {
        let space = data.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = number(data.get(..space)?)?.try_into().ok()?;
        let record = data.get(space + 1..length.checked_sub(1)?)?;
        if data.get(length - 1) != Some(&b'\n') {
            return None;
        }
        let equals = record.iter().position(|byte| *byte == b'=')?;
        found.push((record.get(..equals)?, record.get(equals + 1..)?));
        data = data.get(length..)?;
    }
    Some(found)
}

/// A decimal number without a sign.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// A time such as `1700000000.25` or `-1.5`.
#[must_use]
pub fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = nine.parse().ok()?;
    Some(match whole.starts_with('-') && nanoseconds > 0 {
        true => Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds },
        false => Time { seconds, nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_any_byte() {
        let data = b"12 k=a\nb=c\n\n5 x=\n\0\0";
        let found = records(data).unwrap();
        assert_eq!(found, [(&b"k"[..], &b"a\nb=c\n"[..]), (b"x", b"")]);
        for wrong in [&b"7 x=\n"[..], b"x", b"0 x=1\n", b"5 xy\n", b"99999999999999999999 x=1\n"] {
            assert_eq!(records(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn times() {
        let read = |text: &str| time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(read("17.25"), Some((17, 250_000_000)));
        assert_eq!(read("17.1234567899"), Some((17, 123_456_789)));
        assert_eq!(read("-1.5"), Some((-2, 500_000_000)));
        assert_eq!(read("-0.5"), Some((-1, 500_000_000)));
        for wrong in ["", "x", "1.x", "1.-5", "99999999999999999999"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
