//! `nothing`: ends with 0 and does nothing else, not even look at its standard handles.
#![no_std]
#![no_main]

winterop_testprogs_bare::program!(main);

fn main() -> u32 {
    0
}
