//! What a thread has found lately, by owner and name, so that it finds it again without writing to memory that others write
//! to: two cores that count references to one value, or wait for one lock, cost each other many times what is done. It does
//! not know whether a value is still true; whoever asks has to see that.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

/// Values of a kind that one thread keeps. They are looked through one after the other; more are found where they come from.
const VALUES_MAX: usize = 16;

/// Tells apart those who share a thread's values of one kind.
#[derive(Debug)]
pub(crate) struct Owner(u64);

/// A thread's values of one kind.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    entries: RefCell<Vec<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    owner: u64,
    name: Box<str>,
    value: T,
}

/// What `read` makes of the value that this thread keeps for `owner` under `name`.
#[inline]
pub(crate) fn find<T, R>(
    recent: &'static LocalKey<Recent<T>>,
    owner: &Owner,
    name: &str,
    read: impl FnOnce(&T) -> Option<R>,
) -> Option<R> {
    // A thread that is ending keeps nothing any more.
    let found = recent.try_with(|recent| {
        let entries = recent.entries.try_borrow().ok()?;
        read(&entries.iter().find(|entry| entry.is_of(owner, name))?.value)
    });
    found.ok().flatten()
}

/// Keeps what `value` makes for `owner` under `name` instead of what was kept there and of all that is not `current` any more;
/// does nothing where there is no room.
pub(crate) fn keep<T>(
    recent: &'static LocalKey<Recent<T>>,
    owner: &Owner,
    name: &str,
    current: impl Fn(&T) -> bool,
    value: impl FnOnce() -> T,
) {
    let gone = take(recent, |entry| entry.is_of(owner, name) || !current(&entry.value));
    // Dropped while nothing is borrowed: what a stranger has put into it may come here again.
    drop(gone);
    let _ = recent.try_with(|recent| {
        let Ok(mut entries) = recent.entries.try_borrow_mut() else { return };
        if entries.len() < VALUES_MAX {
            entries.push(Entry { owner: owner.0, name: name.into(), value: value() });
        }
    });
}

/// Keeps nothing of `owner` on this thread.
pub(crate) fn forget<T>(recent: &'static LocalKey<Recent<T>>, owner: &Owner) {
    drop(take(recent, |entry| entry.owner == owner.0));
}

fn take<T>(recent: &'static LocalKey<Recent<T>>, unwanted: impl Fn(&Entry<T>) -> bool) -> Vec<Entry<T>> {
    let taken = recent.try_with(|recent| {
        let mut entries = recent.entries.try_borrow_mut().ok()?;
        Some(entries.extract_if(.., |entry| unwanted(entry)).collect())
    });
    taken.ok().flatten().unwrap_or_default()
}

impl<T> Recent<T> {
    /// Nothing as yet.
    pub(crate) const fn new() -> Self {
        Self { entries: RefCell::new(Vec::new()) }
    }
}

impl<T> Entry<T> {
    #[inline]
    fn is_of(&self, owner: &Owner, name: &str) -> bool {
        self.owner == owner.0 && is_same(&self.name, name)
    }
}

/// Whether both names are the same. Most are short, and a function that compares memory takes longer to call than to work.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len()
        && match one.len() {
            4..=8 => one.first_chunk::<4>() == other.first_chunk() && one.last_chunk::<4>() == other.last_chunk(),
            9..=16 => one.first_chunk::<8>() == other.first_chunk() && one.last_chunk::<8>() == other.last_chunk(),
            _ => one == other,
        }
}

impl Default for Owner {
    /// Another one than any before.
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Recent, VALUES_MAX, find, forget, is_same, keep};

    thread_local! {
        static VALUES: Recent<i32> = const { Recent::new() };
    }

    fn value(owner: &Owner, name: &str) -> Option<i32> {
        find(&VALUES, owner, name, |value| Some(*value))
    }

    #[test]
    fn a_value_is_found_by_its_owner_and_name_until_it_is_replaced_or_forgotten() {
        let (one, other) = (Owner::default(), Owner::default());
        keep(&VALUES, &one, "user", |_| true, || 1);
        keep(&VALUES, &other, "user", |_| true, || 2);
        keep(&VALUES, &one, "post", |_| true, || 3);
        assert_eq!([value(&one, "user"), value(&one, "post"), value(&one, "use")], [Some(1), Some(3), None]);
        assert_eq!([value(&other, "user"), value(&other, "post")], [Some(2), None]);
        keep(&VALUES, &one, "user", |_| true, || 4);
        assert_eq!([value(&one, "user"), value(&other, "user")], [Some(4), Some(2)]);
        forget(&VALUES, &one);
        assert_eq!([value(&one, "user"), value(&one, "post"), value(&other, "user")], [None, None, Some(2)]);
    }

    #[test]
    fn a_thread_keeps_few_values_and_makes_room_by_those_that_are_true_no_more() {
        let owner = Owner::default();
        for number in 0..=VALUES_MAX as i32 {
            keep(&VALUES, &owner, &number.to_string(), |_| true, || number);
        }
        assert_eq!((value(&owner, "15"), value(&owner, "16")), (Some(15), None));
        keep(&VALUES, &owner, "16", |kept| *kept != 3, || 16);
        assert_eq!((value(&owner, "3"), value(&owner, "16")), (None, Some(16)));
    }

    #[test]
    fn what_comes_here_while_a_value_is_read_or_dropped_does_no_harm() {
        #[derive(Debug)]
        struct Curious(Owner);
        thread_local! {
            static CURIOUS: Recent<Curious> = const { Recent::new() };
        }
        impl Drop for Curious {
            fn drop(&mut self) {
                assert!(find(&CURIOUS, &self.0, "a", |_| Some(())).is_none());
            }
        }
        let owner = Owner::default();
        keep(&CURIOUS, &owner, "a", |_| true, || Curious(Owner::default()));
        let seen = find(&CURIOUS, &owner, "a", |_| {
            keep(&CURIOUS, &owner, "b", |_| true, || Curious(Owner::default()));
            find(&CURIOUS, &owner, "a", |_| Some(()))
        });
        assert_eq!(seen, Some(()));
        assert!(find(&CURIOUS, &owner, "b", |_| Some(())).is_none(), "nothing is kept while something is read");
        forget(&CURIOUS, &owner);
        assert!(find(&CURIOUS, &owner, "a", |_| Some(())).is_none());
    }

    #[test]
    fn names_are_the_same_if_no_byte_differs_whatever_their_length() {
        for length in 0..40 {
            let name = "n".repeat(length);
            assert!(is_same(&name, &name.clone()) && !is_same(&name, &format!("{name}n")));
            for at in 0..length {
                let mut other = name.clone();
                other.replace_range(at..=at, "m");
                assert!(!is_same(&name, &other), "{name} and {other}");
            }
        }
    }

    #[test]
    fn threads_share_nothing() {
        let owner = Owner::default();
        keep(&VALUES, &owner, "user", |_| true, || 1);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(value(&owner, "user"), None)).join().unwrap();
        });
        assert_eq!(value(&owner, "user"), Some(1));
    }
}
