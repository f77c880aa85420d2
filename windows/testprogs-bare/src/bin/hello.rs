//! `hello`: prints "hello".
#![no_std]
#![no_main]

winterop_testprogs_bare::program!(main);

fn main() -> u32 {
    winterop_testprogs_bare::print(b"hello\n");
    0
}
