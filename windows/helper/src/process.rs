//! Starting the program and waiting for it.

use std::io;
use std::os::windows::io::{
    AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle as _, OwnedHandle, RawHandle,
};
use std::ptr;

use windows_sys::Win32::Foundation::{
    HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Threading::{
    CreateProcessW, DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT,
    GetExitCodeProcess, INFINITE, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROCESS_INFORMATION, STARTF_USESTDHANDLES, STARTUPINFOEXW,
    STARTUPINFOW, UpdateProcThreadAttribute, WaitForSingleObject,
};

use crate::arguments::Arguments;
use crate::standard::Connections;

/// The program, running or ended.
pub(crate) struct Process(OwnedHandle);

impl Process {
    /// Starts it with the standard handles of `connections` and no other handle.
    pub(crate) fn start(arguments: &Arguments, connections: &Connections) -> io::Result<Self> {
        let handles = connections.handles();
        // The list must not name a handle twice.
        let mut inherited: Vec<HANDLE> = Vec::new();
        for handle in handles.into_iter().flatten().map(|handle| handle.as_raw_handle()) {
            if !inherited.contains(&handle) {
                make_inheritable(handle)?;
                inherited.push(handle);
            }
        }
        let [input, output, error] =
            handles.map(|handle| handle.map_or(ptr::null_mut(), |handle| handle.as_raw_handle()));
        let mut startup = STARTUPINFOEXW {
            StartupInfo: STARTUPINFOW {
                cb: size_of::<STARTUPINFOEXW>() as u32,
                dwFlags: STARTF_USESTDHANDLES,
                hStdInput: input,
                hStdOutput: output,
                hStdError: error,
                ..STARTUPINFOW::default()
            },
            ..STARTUPINFOEXW::default()
        };
        // An empty list is refused; then nothing is inherited at all.
        let mut list = Attributes::new()?;
        if !inherited.is_empty() {
            list.inherit_only(&inherited)?;
        }
        startup.lpAttributeList = list.pointer();
        create(arguments, &startup, !inherited.is_empty())
    }

    /// Waits until it has ended and returns all 32 bits of its exit code.
    pub(crate) fn wait(&self) -> io::Result<u32> {
        // SAFETY: the handle is open as long as `self`.
        if unsafe { WaitForSingleObject(self.as_raw_handle(), INFINITE) } != WAIT_OBJECT_0 {
            return Err(io::Error::last_os_error());
        }
        let mut code = 0;
        // SAFETY: the handle is open as long as `self`, and the code has its place.
        match unsafe { GetExitCodeProcess(self.as_raw_handle(), &mut code) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(code),
        }
    }
}

impl AsHandle for Process {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

impl AsRawHandle for Process {
    fn as_raw_handle(&self) -> RawHandle {
        self.0.as_raw_handle()
    }
}

fn create(arguments: &Arguments, startup: &STARTUPINFOEXW, inherit: bool) -> io::Result<Process> {
    let terminated = |units: &[u16]| units.iter().copied().chain([0]).collect::<Vec<u16>>();
    let application = arguments.application.as_deref().map(terminated);
    let application = application.as_ref().map_or(ptr::null(), |units| units.as_ptr());
    let mut command_line = terminated(&arguments.command_line);
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: the strings end with 0, the command line may be written to as the call demands,
    // `startup` is of the extended kind as the flag says, its list and handles live until the call
    // is over, and `made` takes the result.
    let created = unsafe {
        CreateProcessW(
            application,
            command_line.as_mut_ptr(),
            ptr::null(),
            ptr::null(),
            inherit.into(),
            EXTENDED_STARTUPINFO_PRESENT,
            ptr::null(),
            ptr::null(),
            ptr::from_ref(startup).cast(),
            &mut made,
        )
    };
    if created == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made it for us; dropping it closes it.
    drop(unsafe { OwnedHandle::from_raw_handle(made.hThread) });
    // SAFETY: the call made it for us.
    Ok(Process(unsafe { OwnedHandle::from_raw_handle(made.hProcess) }))
}

fn make_inheritable(handle: HANDLE) -> io::Result<()> {
    // SAFETY: the handle is open, the caller having borrowed it.
    match unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A list of attributes for a new process, with room for one.
struct Attributes(Vec<usize>);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut bytes = 0;
        // SAFETY: without a list the call only says how large one is.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), 1, 0, &mut bytes) };
        let mut memory = vec![0_usize; bytes.div_ceil(size_of::<usize>())];
        let place = memory.as_mut_ptr().cast();
        // SAFETY: the memory has the size that the call itself asked for.
        match unsafe { InitializeProcThreadAttributeList(place, 1, 0, &mut bytes) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(Self(memory)),
        }
    }

    fn pointer(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.0.as_mut_ptr().cast()
    }

    /// Lets the process inherit these handles alone. They must stay where they are until it was
    /// created.
    fn inherit_only(&mut self, handles: &[HANDLE]) -> io::Result<()> {
        let list = self.pointer();
        let (which, size) = (PROC_THREAD_ATTRIBUTE_HANDLE_LIST as usize, size_of_val(handles));
        let (value, none) = (handles.as_ptr().cast(), ptr::null_mut());
        // SAFETY: the list is set up and has room for one attribute, and the handles are as many as
        // the size says.
        match unsafe { UpdateProcThreadAttribute(list, 0, which, value, size, none, ptr::null()) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the list was set up, and nothing uses it any more.
        unsafe { DeleteProcThreadAttributeList(self.pointer()) };
    }
}
