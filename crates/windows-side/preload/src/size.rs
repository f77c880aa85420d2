//! Gives the console the terminal's size when that changes.
//!
//! Wine's console host is told a size when it is started, and never again. The program that was
//! launched does for its console what a user of Windows does with the mouse: it sets the sizes of
//! window and buffer. The host then leaves an event for whoever reads events.

use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use crate::modules::Module;

/// Columns, and rows above them, as this process began; 0 where there is no terminal.
static AT_START: AtomicU32 = AtomicU32::new(0);
/// A thread is at it; and it has to look again.
static BUSY: AtomicBool = AtomicBool::new(false);
static AGAIN: AtomicBool = AtomicBool::new(false);

/// The functions of kernelbase, in the order of [`NAMES`].
static FUNCTIONS: [AtomicPtr<c_void>; 5] = [const { AtomicPtr::new(null_mut()) }; 5];

const NAMES: [&[u8]; 5] = [
    b"CreateFileW",
    b"CloseHandle",
    b"GetConsoleScreenBufferInfo",
    b"SetConsoleScreenBufferSize",
    b"SetConsoleWindowInfo",
];

type CreateFile =
    unsafe extern "win64" fn(*const u16, u32, u32, *const c_void, u32, u32, isize) -> isize;
type CloseHandle = unsafe extern "win64" fn(isize) -> i32;
type GetInformation = unsafe extern "win64" fn(isize, *mut Information) -> i32;
type SetSize = unsafe extern "win64" fn(isize, u32) -> i32;
type SetWindow = unsafe extern "win64" fn(isize, i32, *const Rectangle) -> i32;

/// `COORD`; passed as one number where it is passed by value.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    columns: i16,
    rows: i16,
}

impl Size {
    fn number(self) -> u32 {
        u32::from(self.columns as u16) | u32::from(self.rows as u16) << 16
    }

    fn least(self, other: Self) -> Self {
        Self { columns: self.columns.min(other.columns), rows: self.rows.min(other.rows) }
    }
}

/// `SMALL_RECT`; the ends are inside.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Rectangle {
    left: i16,
    top: i16,
    right: i16,
    bottom: i16,
}

/// `CONSOLE_SCREEN_BUFFER_INFO`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Information {
    buffer: Size,
    cursor: Size,
    attributes: u16,
    window: Rectangle,
    largest: Size,
}

/// Notes the size, in the process that is to follow it.
pub(crate) fn prepare() {
    AT_START.store(of_terminal().map_or(0, Size::number), Ordering::Relaxed);
}

/// Whether this process follows the size of a terminal.
pub(crate) fn is_followed() -> bool {
    AT_START.load(Ordering::Relaxed) != 0
}

/// Whether the terminal has another size than at the start of this process.
pub(crate) fn has_changed() -> bool {
    let before = AT_START.load(Ordering::Relaxed);
    before != 0 && of_terminal().is_some_and(|now| now.number() != before)
}

fn of_terminal() -> Option<Size> {
    (0..3).find_map(|fd: c_int| {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: `size` takes the result.
        let known = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) } == 0;
        let within = |length: u16| (1..=i16::MAX as u16).contains(&length);
        let known = known && within(size.ws_col) && within(size.ws_row);
        known.then_some(Size { columns: size.ws_col as i16, rows: size.ws_row as i16 })
    })
}

/// Looks the functions up.
pub(crate) fn find(kernelbase: Module) {
    if !is_followed() {
        return;
    }
    for (function, name) in FUNCTIONS.iter().zip(NAMES) {
        if let Some(found) = kernelbase.export(name) {
            function.store(found.cast_mut(), Ordering::Relaxed);
        }
    }
}

/// The start of a thread of Windows code: brings the console to the terminal's size.
pub(crate) extern "win64" fn apply(_: usize) -> u32 {
    AGAIN.store(true, Ordering::Relaxed);
    while AGAIN.load(Ordering::Relaxed) && !BUSY.swap(true, Ordering::Acquire) {
        AGAIN.store(false, Ordering::Relaxed);
        if let (Some(functions), Some(size)) = (Functions::known(), of_terminal()) {
            functions.apply(size);
        }
        BUSY.store(false, Ordering::Release);
    }
    0
}

struct Functions {
    create_file: CreateFile,
    close_handle: CloseHandle,
    get_information: GetInformation,
    set_size: SetSize,
    set_window: SetWindow,
}

impl Functions {
    fn known() -> Option<Self> {
        let [a, b, c, d, e] = FUNCTIONS.each_ref().map(|it| it.load(Ordering::Relaxed));
        if [a, b, c, d, e].iter().any(|function| function.is_null()) {
            return None;
        }
        Some(Self {
            // SAFETY: the documented type of this function; so on below.
            create_file: unsafe { transmute::<*mut c_void, CreateFile>(a) },
            // SAFETY: as above.
            close_handle: unsafe { transmute::<*mut c_void, CloseHandle>(b) },
            // SAFETY: as above.
            get_information: unsafe { transmute::<*mut c_void, GetInformation>(c) },
            // SAFETY: as above.
            set_size: unsafe { transmute::<*mut c_void, SetSize>(d) },
            // SAFETY: as above.
            set_window: unsafe { transmute::<*mut c_void, SetWindow>(e) },
        })
    }

    /// Opens one of the console's two sides, whatever the program's handles are.
    fn open<const N: usize>(&self, name: &[u8; N]) -> Option<isize> {
        const READ_WRITE: u32 = 0xc000_0000;
        const SHARED: u32 = 3;
        const EXISTING: u32 = 3;
        let mut units = [0_u16; N];
        units.iter_mut().zip(name).for_each(|(unit, byte)| *unit = u16::from(*byte));
        // SAFETY: the name ends with 0.
        let handle = unsafe {
            (self.create_file)(units.as_ptr(), READ_WRITE, SHARED, null(), EXISTING, 0, 0)
        };
        (handle != -1).then_some(handle)
    }

    fn close(&self, handle: isize) {
        // SAFETY: opened here.
        unsafe { (self.close_handle)(handle) };
    }

    fn apply(&self, size: Size) {
        let Some(output) = self.open(b"CONOUT$\0") else { return };
        self.resize(output, size);
        self.close(output);
    }

    /// Sets the sizes, unless they are so already. A window is never larger than its buffer.
    fn resize(&self, output: isize, size: Size) {
        let mut now = Information::default();
        // SAFETY: `now` takes the result.
        if unsafe { (self.get_information)(output, &raw mut now) } == 0 {
            return;
        }
        let length = |from: i16, to: i16| to.wrapping_sub(from).wrapping_add(1);
        let window = Size {
            columns: length(now.window.left, now.window.right),
            rows: length(now.window.top, now.window.bottom),
        };
        if window == size && now.buffer == size {
            return;
        }
        self.set_window(output, window.least(size));
        // SAFETY: a size is a number.
        unsafe { (self.set_size)(output, size.number()) };
        self.set_window(output, size);
    }

    fn set_window(&self, output: isize, size: Size) {
        let rectangle = Rectangle {
            left: 0,
            top: 0,
            right: size.columns.wrapping_sub(1),
            bottom: size.rows.wrapping_sub(1),
        };
        // SAFETY: the rectangle is whole.
        unsafe { (self.set_window)(output, 1, &raw const rectangle) };
    }
}
