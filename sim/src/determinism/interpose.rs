//! Interposed C functions: `getrandom`, `clock_gettime`, `socket`, `pthread_create`, and of `syscall` the wait on a futex.
//! Outside a simulation, and on threads without one, they pass through. They take effect in every program that links this
//! crate (Linux with glibc).
#![expect(unsafe_code, reason = "C functions are interposed; each block says why it is sound")]

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use super::{EPOCH_S, Escapes, Parked, Refinement};
use libc::{c_int, c_long, c_uint, c_void, pthread_attr_t, pthread_t, size_t, ssize_t, timespec};

/// Monotonic clocks begin here, so that a library may subtract from `Instant::now` without underflow.
const MONOTONIC_ORIGIN_S: u64 = 1_000_000;

// `const` initialisation and no destructor: these functions are called while thread-locals are being set up.
thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
    static REFINEMENT: Cell<Option<Refinement>> = const { Cell::new(None) };
    static REFINING: Cell<bool> = const { Cell::new(false) };
    static ESCAPES: Cell<Escapes> = const { Cell::new(Escapes { sockets: 0, threads: 0 }) };
    static WALL_OFFSET_NS: Cell<i64> = const { Cell::new(0) };
    static PARKED: Cell<Option<Parked>> = const { Cell::new(None) };
    /// What the next reading of a monotonic clock is told, once.
    static PRETENDED_NS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Ends the interposition on this thread when dropped.
#[derive(Debug)]
#[must_use = "dropping the guard ends the interposition"]
pub struct Guard(());

/// From now on, on this thread, randomness comes from `seed` and time from [`set_now`]. Call it before anything on this
/// thread has asked for randomness: the keys of hash maps are drawn once per thread.
pub fn activate(seed: u64) -> Guard {
    RANDOM.set(seed ^ 0x5eed_5eed_5eed_5eed);
    NOW_NS.set(0);
    ESCAPES.set(Escapes::default());
    WALL_OFFSET_NS.set(0);
    ACTIVE.set(true);
    Guard(())
}

impl Drop for Guard {
    fn drop(&mut self) {
        ACTIVE.set(false);
        REFINEMENT.set(None);
        PARKED.set(None);
    }
}

/// Whether this thread is between [`activate`] and the end of its guard.
pub fn is_active() -> bool {
    ACTIVE.get()
}

/// Sets the simulated time since the world began.
pub fn set_now(now: Duration) {
    NOW_NS.set(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
}

/// Asks `refinement`, where there is one, for the time first.
pub fn set_refinement(refinement: Option<Refinement>) {
    REFINEMENT.set(refinement);
}

/// Moves the date of whoever executes from now on, in nanoseconds; monotonic clocks stay.
pub fn set_wall_offset(offset_ns: i64) {
    WALL_OFFSET_NS.set(offset_ns);
}

/// Calls `parked` instead of letting this thread wait on a futex, which is how an event loop with nothing to do waits for its
/// next timer. With `None` it waits again. `parked` wakes whoever waits, or the wait begins anew.
pub fn set_parked(parked: Option<Parked>) {
    PARKED.set(parked);
}

/// What has gone around the `Env` on this thread since [`activate`].
pub fn escapes() -> Escapes {
    ESCAPES.get()
}

/// Whether interposition works in this build: on another system, or with a C library that is linked statically, it may not,
/// and runs are then less deterministic.
pub fn effective() -> bool {
    let was_active = ACTIVE.replace(true);
    let (random, now) = (RANDOM.get(), NOW_NS.get());
    let draw = || {
        RANDOM.set(7);
        let mut bytes = [0_u8; 8];
        // SAFETY: the buffer is valid for its length.
        let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        (length, bytes)
    };
    let same = draw() == draw();
    NOW_NS.set(0);
    let date = {
        #[expect(clippy::disallowed_methods, reason = "asks whether the interposed clock answers")]
        std::time::SystemTime::now()
    };
    RANDOM.set(random);
    NOW_NS.set(now);
    ACTIVE.set(was_active);
    let refined = was_active && REFINEMENT.get().is_some();
    same && (refined || date == std::time::UNIX_EPOCH + Duration::from_secs(EPOCH_S))
}

/// SplitMix64 (Steele, Lea, Flood 2014): good enough for hash keys, and a few instructions.
fn next_random() -> u64 {
    let state = RANDOM.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The simulated time. A refinement may itself ask for the time (tokio does while it builds a clock): then the last known
/// one is the answer.
fn simulated_now_ns() -> u64 {
    if let Some(refinement) = REFINEMENT.get()
        && !REFINING.replace(true)
    {
        let refined = refinement();
        REFINING.set(false);
        if let Some(now) = refined {
            return u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        }
    }
    NOW_NS.get()
}

/// Fills `buffer` with random bytes; see getrandom(2).
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !ACTIVE.get() {
        // SAFETY: the system call with the caller's own arguments.
        return unsafe { real_syscall(libc::SYS_getrandom, [buffer as c_long, length as c_long, flags.into(), 0, 0, 0]) }
            as ssize_t;
    }
    // SAFETY: the caller promises that the buffer is valid.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next_random().to_le_bytes()[..chunk.len()]);
    }
    length as ssize_t
}

/// Reads a clock; see clock_gettime(2).
///
/// # Safety
/// `time` must be valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut timespec) -> c_int {
    if !ACTIVE.get() {
        return match real(&REAL_CLOCK_GETTIME, c"clock_gettime") {
            // SAFETY: glibc's function has this type.
            Some(function) => unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(libc::clockid_t, *mut timespec) -> c_int>(
                    function,
                )(clock, time)
            },
            // SAFETY: the system call with the caller's own arguments.
            None => unsafe {
                real_syscall(libc::SYS_clock_gettime, [clock.into(), time as c_long, 0, 0, 0, 0]) as c_int
            },
        };
    }
    let now = simulated_now_ns();
    let time_ns = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            (EPOCH_S * 1_000_000_000 + now).saturating_add_signed(WALL_OFFSET_NS.get())
        }
        _ => MONOTONIC_ORIGIN_S * 1_000_000_000 + PRETENDED_NS.take().unwrap_or(now),
    };
    // SAFETY: the caller promises that `time` is valid.
    unsafe {
        (*time).tv_sec = (time_ns / 1_000_000_000) as libc::time_t;
        (*time).tv_nsec = (time_ns % 1_000_000_000) as c_long;
    }
    0
}

/// Any system call; of those, the wait on a futex is taken over where [`set_parked`] asks for it. See syscall(2), futex(2).
///
/// C declares it with a variable number of arguments; both supported machines pass those like named ones, and the kernel
/// takes at most six.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if number == libc::SYS_futex
        && ACTIVE.get()
        && let Some(parked) = PARKED.get()
    {
        let operation = second as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
        if operation == libc::FUTEX_WAIT || operation == libc::FUTEX_WAIT_BITSET {
            // SAFETY: for these operations the fourth argument is null or a valid time.
            let limit = unsafe { (fourth as *const timespec).as_ref() };
            let limit_ns = limit.map(|limit| limit.tv_sec as u64 * 1_000_000_000 + limit.tv_nsec as u64);
            // FUTEX_WAIT_BITSET is given a point of time, FUTEX_WAIT a duration.
            let since_start = limit_ns.map(|limit_ns| match operation {
                libc::FUTEX_WAIT => simulated_now_ns().saturating_add(limit_ns),
                _ => limit_ns.saturating_sub(MONOTONIC_ORIGIN_S * 1_000_000_000),
            });
            parked(since_start.map(Duration::from_nanos));
            // Who waits for a duration (parking_lot) reads the clock again, and goes on waiting if it is not over.
            if operation == libc::FUTEX_WAIT {
                PRETENDED_NS.set(since_start);
            }
            // SAFETY: errno belongs to this thread.
            unsafe { *libc::__errno_location() = if limit.is_some() { libc::ETIMEDOUT } else { libc::EINTR } };
            return -1;
        }
    }
    // SAFETY: the caller's own arguments.
    unsafe { real_syscall(number, [first, second, third, fourth, fifth, sixth]) }
}

/// The C library's `syscall`.
///
/// # Safety
/// As the C function.
unsafe fn real_syscall(number: c_long, arguments: [c_long; 6]) -> c_long {
    type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;
    let [first, second, third, fourth, fifth, sixth] = arguments;
    match real(&REAL_SYSCALL, c"syscall") {
        // SAFETY: glibc's function has this type.
        Some(function) => unsafe {
            std::mem::transmute::<*mut c_void, Syscall>(function)(number, first, second, third, fourth, fifth, sixth)
        },
        None => -1,
    }
}

/// Opens a socket; refused inside a simulation. See socket(2).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if ACTIVE.get() {
        let mut escapes = ESCAPES.get();
        escapes.sockets += 1;
        ESCAPES.set(escapes);
        // SAFETY: errno belongs to this thread.
        unsafe { *libc::__errno_location() = libc::EACCES };
        return -1;
    }
    // SAFETY: the system call with the caller's own arguments.
    unsafe { real_syscall(libc::SYS_socket, [domain.into(), kind.into(), protocol.into(), 0, 0, 0]) as c_int }
}

type StartRoutine = extern "C" fn(*mut c_void) -> *mut c_void;

/// Starts a thread; refused inside a simulation. See pthread_create(3).
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: StartRoutine,
    argument: *mut c_void,
) -> c_int {
    if ACTIVE.get() {
        let mut escapes = ESCAPES.get();
        escapes.threads += 1;
        ESCAPES.set(escapes);
        return libc::EPERM;
    }
    type PthreadCreate =
        unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, StartRoutine, *mut c_void) -> c_int;
    match real(&REAL_PTHREAD_CREATE, c"pthread_create") {
        // SAFETY: glibc's function has this type.
        Some(function) => unsafe {
            std::mem::transmute::<*mut c_void, PthreadCreate>(function)(thread, attributes, start, argument)
        },
        None => libc::ENOSYS,
    }
}

static REAL_CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static REAL_PTHREAD_CREATE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static REAL_SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The next definition of `name` after ours, which is the C library's.
fn real(cache: &AtomicPtr<c_void>, name: &CStr) -> Option<*mut c_void> {
    let mut function = cache.load(Ordering::Relaxed);
    if function.is_null() {
        // SAFETY: the name is a C string; the result is only called with the type that the C library documents.
        function = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        cache.store(function, Ordering::Relaxed);
    }
    (!function.is_null()).then_some(function)
}

#[cfg(test)]
mod tests {
    use super::{activate, effective, escapes};

    #[test]
    fn randomness_and_dates_come_from_the_seed_and_real_sockets_and_threads_are_refused() {
        assert!(effective());
        let draw = |seed| {
            let _guard = activate(seed);
            let mut bytes = [0_u8; 16];
            #[expect(unsafe_code, reason = "asks the interposed function")]
            // SAFETY: the buffer is valid for its length.
            unsafe {
                libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0)
            };
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));

        let guard = activate(1);
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
        assert!(std::thread::Builder::new().spawn(|| ()).is_err());
        assert_eq!((escapes().sockets, escapes().threads), (1, 1));
        drop(guard);
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    }
}
