//! How much memory a thread has in use, and how often it asked for some: an allocator that counts what passes through it, on
//! behalf of another one. A program in which leaks of memory are to be judged, or allocations counted, allocates with it. It
//! decides nothing, and is not asked where nobody judges.
#![expect(unsafe_code, reason = "an allocator is unsafe to write; each call is handed on as it came")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

// `const` initialisation and no destructor: an allocator is called while thread-locals are set up and torn down.
thread_local! {
    static IN_USE_BYTES: Cell<i64> = const { Cell::new(0) };
    static ALLOCATED: Cell<Allocated> = const { Cell::new(Allocated { calls: 0, bytes: 0 }) };
}

/// What a thread has asked the allocator for since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// How often: for memory, or for memory in place of some that was too small or too large.
    pub calls: u64,
    /// How much, in bytes, whatever became of it.
    pub bytes: u64,
}

/// Allocates as `A` does, and counts for each thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting<A = System>(pub A);

/// What this thread has allocated and not freed, in bytes; nothing where the program does not allocate with [`Counting`]. A
/// simulation has one thread, so that it is what the simulation holds.
pub fn bytes_in_use() -> Option<u64> {
    const PROBE_BYTES: usize = 64;
    let before = IN_USE_BYTES.get();
    let probe = black_box(Vec::<u8>::with_capacity(PROBE_BYTES));
    let counted = IN_USE_BYTES.get() != before;
    drop(probe);
    // What another thread has allocated may have been freed on this one.
    counted.then(|| u64::try_from(IN_USE_BYTES.get()).unwrap_or_default())
}

/// What this thread has asked for; nothing where the program does not allocate with [`Counting`].
pub fn allocated() -> Allocated {
    ALLOCATED.get()
}

fn count_call(bytes: usize) {
    let Allocated { calls, bytes: before } = ALLOCATED.get();
    ALLOCATED.set(Allocated { calls: calls.wrapping_add(1), bytes: before.wrapping_add(bytes as u64) });
}

fn count(bytes: usize, sign: i64) {
    IN_USE_BYTES.set(IN_USE_BYTES.get().wrapping_add(sign * bytes as i64));
}

// SAFETY: every call is handed on to an allocator, with the arguments that the caller has vouched for.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { self.0.alloc(layout) };
        if !memory.is_null() {
            count(layout.size(), 1);
            count_call(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { self.0.alloc_zeroed(layout) };
        if !memory.is_null() {
            count(layout.size(), 1);
            count_call(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) };
        count(layout.size(), -1);
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(layout.size(), -1);
            count(size, 1);
            count_call(size);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};

    use super::{Allocated, Counting, IN_USE_BYTES, allocated, bytes_in_use};

    #[test]
    fn what_is_allocated_and_not_freed_is_counted() {
        assert_eq!(bytes_in_use(), None, "this program allocates without it");
        let (allocator, layout) = (Counting(System), Layout::new::<[u64; 4]>());
        let before = IN_USE_BYTES.get();
        // SAFETY: the memory is of that layout, grows to the size that the next layout names, and is freed once.
        unsafe {
            let memory = allocator.alloc(layout);
            assert_eq!(IN_USE_BYTES.get() - before, 32);
            let memory = allocator.realloc(memory, layout, 80);
            assert_eq!(IN_USE_BYTES.get() - before, 80);
            allocator.dealloc(memory, Layout::from_size_align(80, layout.align()).unwrap());
        }
        assert_eq!(IN_USE_BYTES.get(), before);
        assert_eq!(allocated(), Allocated { calls: 2, bytes: 32 + 80 }, "nothing else allocates with it here");
    }
}
