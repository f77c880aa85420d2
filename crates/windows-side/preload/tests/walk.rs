//! Where the command processor must not go through links, by what it lists.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/walk.rs"]
mod walk;

use walk::{Walk, parent};

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn new() -> Box<Walk> {
    Box::new(Walk::new())
}

/// A listing from its begin to its end.
fn lists(walk: &mut Walk, pattern: &str) {
    walk.begins(7, &units(pattern));
    walk.ends(7);
}

fn reaches(walk: &Walk, pattern: &str) -> bool {
    walk.reaches(&units(pattern))
}

#[test]
fn what_was_listed_to_its_end_is_walked_down() {
    let mut walk = new();
    // As `del /s tree` does it.
    walk.begins(3, &units("tree\\*"));
    walk.ends(3);
    assert!(!reaches(&walk, "Z:\\w\\tree\\*"));
    lists(&mut walk, "Z:\\w\\tree\\*");
    for pattern in ["Z:\\w\\tree\\link\\*", "Z:\\w\\tree\\a\\link\\*.txt"] {
        assert!(reaches(&walk, pattern), "{pattern}");
    }
    for pattern in ["Z:\\w\\other\\*", "Z:\\w\\trees\\link\\*", "tree\\link\\*", "*"] {
        assert!(!reaches(&walk, pattern), "{pattern}");
    }
    // It goes on with the directory around.
    lists(&mut walk, "Z:\\w\\*");
    assert!(reaches(&walk, "Z:\\w\\link\\tree"));
    assert!(reaches(&walk, "Z:\\w\\tree\\link\\*"));
}

#[test]
fn another_line_is_another_matter() {
    let mut walk = new();
    lists(&mut walk, "Z:\\w\\*");
    walk.is_over();
    assert!(!reaches(&walk, "Z:\\w\\link\\*"));
}

#[test]
fn a_listing_that_goes_on_is_no_walk() {
    let mut walk = new();
    // As `for /d %d in (Z:\w\*) do del %d\*` does it.
    walk.begins(3, &units("Z:\\w\\*"));
    assert!(!reaches(&walk, "Z:\\w\\link\\*"));
    lists(&mut walk, "Z:\\w\\link\\*");
    assert!(!reaches(&walk, "Z:\\w\\other\\*"));
    walk.ends(3);
    assert!(reaches(&walk, "Z:\\w\\other\\*"));
}

#[test]
fn only_the_whole_of_a_directory_by_its_whole_name_counts() {
    let mut walk = new();
    for pattern in ["Z:\\w\\*.txt", "Z:\\w\\x*", "w\\*", "*", "\\w\\*", "Z:w*", ""] {
        lists(&mut walk, pattern);
        assert!(!reaches(&walk, "Z:\\w\\link\\*"), "{pattern}");
    }
    lists(&mut walk, "\\\\server\\share\\*");
    assert!(reaches(&walk, "\\\\server\\share\\link\\*"));
}

#[test]
fn more_than_can_be_remembered_is_all_there_is() {
    let mut walk = new();
    for number in 0..100 {
        lists(&mut walk, &format!("Z:\\{number}\\*"));
        assert!(reaches(&walk, &format!("Z:\\{number}\\link\\*")));
    }
    assert!(reaches(&walk, "Z:\\0\\link\\*"));
    walk.is_over();
    assert!(!reaches(&walk, "Z:\\0\\link\\*"));
    lists(&mut walk, &format!("Z:\\{}\\*", "x".repeat(1000)));
    assert!(reaches(&walk, "Z:\\0\\link\\*"));
    walk.is_over();
    for handle in 1..100 {
        walk.begins(handle, &units("Z:\\w\\*"));
    }
    assert!(reaches(&walk, "Z:\\0\\link\\*"));
}

#[test]
fn what_never_began_does_not_end() {
    let mut walk = new();
    walk.ends(0);
    walk.ends(5);
    assert!(!reaches(&walk, "Z:\\w\\link\\*"));
    assert_eq!(parent(&units("Z:\\w\\link\\*")), Some(&*units("Z:\\w\\link")));
    assert_eq!(parent(&units("x")), None);
}
