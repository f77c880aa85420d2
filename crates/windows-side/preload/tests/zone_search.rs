//! What the search for the time zone asks, and in which order.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/zone_search.rs"]
mod zone_search;

use zone_search::{Asked, Search};

const KEY: &str = r"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion\Time Zones";
const HANDLE: u32 = 0x30;
const ENUMERATE: u32 = 0x54;
const CLOSE: u32 = 0x16;
const NO_MORE: u32 = 0x8000_001a;

fn data(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn message(words: &[u32]) -> [u32; 16] {
    let mut message = [0; 16];
    message[..words.len()].copy_from_slice(words);
    message
}

/// A search that has opened the key and begins with this zone.
fn begun(first: u32) -> Search {
    let mut search = Search::new();
    assert!(search.sends(&data(KEY)));
    search.begin_with(first);
    search.answered(&message(&[0, 0, HANDLE]));
    search
}

/// Asks for a zone, and for what is in it; returns the index that was sent.
fn asks_for(search: &mut Search, index: u32, error: u32) -> u32 {
    let mut request = message(&[ENUMERATE, 0, 0x70, HANDLE, index]);
    let asked = search.asks(&mut request);
    assert_eq!(asked == Asked::Changed, request[4] != index);
    search.answered(&message(&[error, 0x32]));
    // What is in it is asked by another handle, and some of that is not there.
    assert_eq!(search.asks(&mut message(&[0x56, 0, 0, 0x34])), Asked::Else);
    search.answered(&message(&[0xc000_0034]));
    search.answered(&message(&[0]));
    request[4]
}

fn closes(search: &mut Search) -> Asked {
    search.asks(&mut message(&[CLOSE, 0, 0, HANDLE]))
}

#[test]
fn it_begins_with_the_zone_that_was_found_before() {
    let mut search = begun(3);
    let sent: Vec<_> = (0..6).map(|index| asks_for(&mut search, index, 0)).collect();
    assert_eq!(sent, [3, 1, 2, 0, 4, 5]);
    assert_eq!(closes(&mut search), Asked::Ended(5));
    assert!(search.is_over());
    let mut search = begun(3);
    asks_for(&mut search, 0, 0);
    assert_eq!(closes(&mut search), Asked::Ended(3));
}

#[test]
fn without_one_nothing_is_changed() {
    let mut search = begun(0);
    let sent: Vec<_> = (0..4).map(|index| asks_for(&mut search, index, 0)).collect();
    assert_eq!(sent, [0, 1, 2, 3]);
    assert_eq!(closes(&mut search), Asked::Ended(3));
}

#[test]
fn a_search_in_vain_has_found_nothing() {
    let mut search = begun(0);
    asks_for(&mut search, 0, 0);
    asks_for(&mut search, 1, NO_MORE);
    assert_eq!(closes(&mut search), Asked::EndedWithout);
    let mut search = begun(900);
    assert_eq!(asks_for(&mut search, 0, NO_MORE), 900);
    assert_eq!(closes(&mut search), Asked::EndedWithout);
}

#[test]
fn what_is_no_search_is_left_alone() {
    let mut search = Search::new();
    for text in ["", "Time Zones", &KEY[1..], &KEY.to_lowercase(), &format!("{KEY}\\x")] {
        assert!(!search.sends(&data(text)), "{text}");
    }
    assert!(!search.sends(KEY.as_bytes()));
    assert_eq!(search.asks(&mut message(&[ENUMERATE, 0, 0, 0, 0])), Asked::Else);
    // The key is not there.
    assert!(search.sends(&data(KEY)));
    search.answered(&message(&[0xc000_0034]));
    assert!(search.is_over());
    assert!(!search.sends(&data(KEY)));
}

#[test]
fn a_key_that_is_not_looked_through_is_no_search() {
    let mut search = begun(3);
    assert_eq!(closes_first(&mut search), Asked::Else);
    assert!(search.is_over());
    // Looking through it from another place is none either.
    let mut search = begun(3);
    let mut request = message(&[ENUMERATE, 0, 0x70, HANDLE, 7]);
    assert_eq!(search.asks(&mut request), Asked::Else);
    assert_eq!(request[4], 7);
    assert!(search.is_over());
}

/// A request by the handle that is none for a zone, since it has something in the index's place.
fn closes_first(search: &mut Search) -> Asked {
    search.asks(&mut message(&[CLOSE, 0, 0, HANDLE, 9]))
}

#[test]
fn questions_with_data_are_not_the_searchs() {
    let mut search = begun(3);
    let mut request = message(&[0x51, 0x32, 0, HANDLE, 0x20019]);
    assert_eq!(search.asks(&mut request), Asked::Else);
    assert!(!search.is_over());
    assert_eq!(asks_for(&mut search, 0, 0), 3);
}
