//! [`shuttle`]'s locks with the methods that parking_lot's have, as far as the product calls them. A crate of the product that is
//! compiled with this one under the name `parking_lot` can be run by shuttle, which tries interleavings one after the other.
//! Never a dependency of the product.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

/// What a model does after a panic does not matter.
const POISONED: &str = "a thread of the model has panicked";

/// As `parking_lot::Mutex`.
#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let locked = self.0.lock().unwrap_or_else(|_| panic!("{POISONED}"));
        MutexGuard { mutex: self, locked: Some(locked) }
    }

    /// Takes the lock if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let locked = self.0.try_lock().ok()?;
        Some(MutexGuard { mutex: self, locked: Some(locked) })
    }

    /// Lets others take their turns, then takes the lock if nobody has it, whatever the time.
    pub fn try_lock_for(&self, _timeout: Duration) -> Option<MutexGuard<'_, T>> {
        shuttle::thread::yield_now();
        self.try_lock()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// As `parking_lot::MutexGuard`.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` only while a condition is waited for.
    locked: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.locked.as_deref().unwrap_or_else(|| unreachable!("the guard holds its lock"))
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.locked.as_deref_mut().unwrap_or_else(|| unreachable!("the guard holds its lock"))
    }
}

/// As `parking_lot::RwLock`.
#[derive(Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Waits until nobody writes.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(|_| panic!("{POISONED}"))
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(|_| panic!("{POISONED}"))
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock")
    }
}

/// As `parking_lot::WaitTimeoutResult`.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(());

impl WaitTimeoutResult {
    /// Whether the time was over: always, in a model.
    pub fn timed_out(self) -> bool {
        true
    }
}

/// As `parking_lot::Condvar`. Waiting may end for no reason, and ends after a while: callers must look for themselves.
#[derive(Debug, Default)]
pub struct Condvar(());

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Self {
        Condvar(())
    }

    /// Gives the lock up for others to take their turns, then waits for it again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.locked = None;
        shuttle::thread::yield_now();
        guard.locked = guard.mutex.lock().locked.take();
    }

    /// As [`wait`](Self::wait), whatever the time.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) {
        self.wait(guard);
    }

    /// As [`wait`](Self::wait), whatever the time, which is taken for over.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _deadline: Instant) -> WaitTimeoutResult {
        self.wait(guard);
        WaitTimeoutResult(())
    }

    /// Those who wait look again soon anyway.
    pub fn notify_all(&self) {}
}
