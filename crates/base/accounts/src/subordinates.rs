//! Ranges of ids that are given to users beside their own: `/etc/subuid` and `/etc/subgid`.

/// A range of ids and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The user's name, or number.
    pub owner: &'a [u8],
    /// The first id.
    pub first: u32,
    /// How many follow each other; never 0.
    pub count: u32,
}

impl Range<'_> {
    /// Whether the line is of this user.
    #[must_use]
    pub fn is_of(&self, user: u32, name: Option<&[u8]>) -> bool {
        Some(self.owner) == name || number(self.owner) == Some(user)
    }
}

/// Reads lines of name or number, first id and number of ids; others are passed over.
pub fn ranges(text: &[u8]) -> impl Iterator<Item = Range<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.trim_ascii().split(|byte| *byte == b':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let range = Range { owner, first: number(first)?, count: number(count)? };
        (fields.next().is_none() && range.count > 0).then_some(range)
    })
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_range_is_passed_over() {
        let text = b"me:100000:65536\n# ids\n1000:300000:10\nme:4:0\nme:x:1\n\nodd\n:::\na:1:2:3\n";
        let found: Vec<_> = ranges(text).map(|it| (it.owner, it.first, it.count)).collect();
        assert_eq!(found, [(&b"me"[..], 100_000, 65_536), (b"1000", 300_000, 10)]);
        let own: Vec<_> = ranges(text).map(|it| it.is_of(1000, Some(b"me"))).collect();
        assert_eq!(own, [true, true]);
        let own: Vec<_> = ranges(text).map(|it| it.is_of(1000, None)).collect();
        assert_eq!(own, [false, true]);
    }
}
