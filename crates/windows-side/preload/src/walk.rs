//! Whether the command processor is walking down a tree, and where it must not go through links.
//!
//! For `del /s` Wine's command processor lists a directory by its whole name, `C:\x\*`, to the end, and
//! does the same with every directory that it has found there: with links to directories, too, where
//! Windows' leaves them alone. What is done with a directory while its listing goes on, as by `for /d`, or
//! by a name as somebody has written it, is no such walk.

/// How many trees are remembered, and the longest name of one: the command processor's own bound.
const TREES: usize = 8;
const LONGEST: usize = 260;
/// How many listings may be open at once.
const OPEN: usize = 16;

const BACKSLASH: u16 = b'\\' as u16;

/// The directory whose listing a pattern asks for, with its last backslash; `None` where it asks for less
/// than all of it, or not by a whole name.
fn whole_directory(pattern: &[u16]) -> Option<&[u16]> {
    let directory = pattern.strip_suffix(&[b'*' as u16])?;
    let is_whole =
        directory.get(1) == Some(&(b':' as u16)) || directory.starts_with(&[BACKSLASH; 2]);
    (is_whole && directory.ends_with(&[BACKSLASH])).then_some(directory)
}

/// What a pattern looks into, without the last backslash.
pub(crate) fn parent(pattern: &[u16]) -> Option<&[u16]> {
    let end = pattern.iter().rposition(|unit| *unit == BACKSLASH)?;
    pattern.get(..end)
}

#[derive(Clone, Copy)]
struct Name {
    units: [u16; LONGEST],
    length: usize,
}

impl Name {
    const NONE: Self = Self { units: [0; LONGEST], length: 0 };

    fn of(text: &[u16]) -> Option<Self> {
        let mut name = Self { length: text.len(), ..Self::NONE };
        name.units.get_mut(..text.len())?.copy_from_slice(text);
        Some(name)
    }

    fn text(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or_default()
    }

    fn is_none(&self) -> bool {
        self.length == 0
    }
}

/// A listing that goes on.
#[derive(Clone, Copy)]
struct Listing {
    handle: isize,
    directory: Name,
}

/// The trees that may be walked down since the last line was read.
pub(crate) struct Walk {
    trees: [Name; TREES],
    open: [Listing; OPEN],
    /// There were more trees than are remembered, or longer names: any may be one.
    is_anywhere: bool,
}

impl Walk {
    pub(crate) const fn new() -> Self {
        let none = Listing { handle: 0, directory: Name::NONE };
        Self { trees: [Name::NONE; TREES], open: [none; OPEN], is_anywhere: false }
    }

    /// Whether what `pattern` looks into is reached by walking, so that it must not be a link.
    pub(crate) fn reaches(&self, pattern: &[u16]) -> bool {
        let Some(directory) = parent(pattern) else { return false };
        self.is_anywhere || self.has_tree_around(directory)
    }

    /// A listing has begun.
    pub(crate) fn begins(&mut self, handle: isize, pattern: &[u16]) {
        let Some(directory) = whole_directory(pattern) else { return };
        let free = self.open.iter_mut().find(|listing| listing.handle == 0);
        match (free, Name::of(directory)) {
            (Some(place), Some(directory)) => *place = Listing { handle, directory },
            _ => self.is_anywhere = true,
        }
    }

    /// A listing has ended: what was found may be walked to from now on.
    pub(crate) fn ends(&mut self, handle: isize) {
        let ended = self.open.iter_mut().find(|listing| listing.handle == handle && handle != 0);
        let Some(ended) = ended else { return };
        ended.handle = 0;
        let directory = ended.directory;
        if self.has_tree_around(directory.text()) {
            return;
        }
        match self.trees.iter_mut().find(|tree| tree.is_none()) {
            Some(place) => *place = directory,
            None => self.is_anywhere = true,
        }
    }

    /// Another line is read: whatever was walked down is done.
    pub(crate) fn is_over(&mut self) {
        self.is_anywhere = false;
        self.trees = [Name::NONE; TREES];
    }

    fn has_tree_around(&self, directory: &[u16]) -> bool {
        let mut trees = self.trees.iter().filter(|tree| !tree.is_none());
        trees.any(|tree| directory.starts_with(tree.text()))
    }
}
