//! Being written.

pub mod wine;
