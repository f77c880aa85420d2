//! `crash KIND [CODE]`: ends in one of the ways in which programs crash.
//!
//! Kinds: access-violation, div-zero, int-overflow, stack-overflow, illegal, privileged, breakpoint,
//! abort, fail-fast, panic, exception CODE (raises that exception), terminate CODE (ends itself with TerminateProcess).

use std::arch::asm;
use std::hint::black_box;
use std::process::ExitCode;
use std::ptr;

use windows_sys::Win32::System::Diagnostics::Debug::{RaiseException, RaiseFailFastException};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let code = arguments.next().and_then(|text| parse(&text)).unwrap_or(1);
    match kind.as_str() {
        "access-violation" => access_violation(),
        "div-zero" => divide_by_zero(),
        "int-overflow" => divide_into_too_much(),
        "stack-overflow" => {
            black_box(overflow(1));
        }
        // SAFETY: raises an exception and does nothing else.
        "illegal" => unsafe { asm!("ud2") },
        // SAFETY: raises an exception and does nothing else: only the kernel may halt a processor.
        "privileged" => unsafe { asm!("hlt") },
        // SAFETY: raises an exception and does nothing else.
        "breakpoint" => unsafe { asm!("int3") },
        "abort" => std::process::abort(),
        // SAFETY: both records may be left out.
        "fail-fast" => unsafe { RaiseFailFastException(ptr::null(), ptr::null(), 0) },
        "panic" => panic!("as asked"),
        // SAFETY: no arguments are passed, as the null says.
        "exception" => unsafe { RaiseException(code, 0, 0, ptr::null()) },
        "terminate" => terminate(code),
        _ => {
            eprintln!("usage: crash KIND [CODE]");
            return ExitCode::from(64);
        }
    }
    eprintln!("{kind} did not end the program");
    ExitCode::from(65)
}

/// A number of 32 bits, decimal or hexadecimal after 0x.
fn parse(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn access_violation() {
    // SAFETY: none; the first page is never mapped, so that this raises an exception, which is the
    // purpose. In assembler, because the compiler may do anything with a null pointer.
    unsafe { asm!("mov dword ptr [{}], 1", in(reg) 8_usize) };
}

fn divide_by_zero() {
    // SAFETY: raises an exception and changes only the registers named.
    unsafe {
        asm!("div {zero:e}", zero = in(reg) 0_u32, inout("eax") 1_u32 => _, inout("edx") 0_u32 => _);
    }
}

/// The quotient is one more than fits.
fn divide_into_too_much() {
    // SAFETY: raises an exception and changes only the registers named.
    unsafe {
        asm!(
            "idiv {minus:e}",
            minus = in(reg) -1_i32,
            inout("eax") i32::MIN => _,
            inout("edx") -1_i32 => _,
        );
    }
}

#[expect(unconditional_recursion, reason = "running out of stack is the purpose")]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    overflow(frame[0].wrapping_add(1)).wrapping_add(black_box(frame)[511])
}

fn terminate(code: u32) {
    // SAFETY: takes nothing and returns a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: the handle is this process's own.
    unsafe { TerminateProcess(this, code) };
}
