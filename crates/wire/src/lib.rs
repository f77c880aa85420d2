//! Placeholder until its first commit.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
