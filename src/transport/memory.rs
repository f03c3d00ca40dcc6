//! Gives memory that a storm of connections has left behind back to the system.

/// Asks the C library to return what it does not use; glibc keeps it for ever otherwise.
#[expect(unsafe_code, reason = "malloc_trim is a C function")]
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, touches only the allocator's own free lists under its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
