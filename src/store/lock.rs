//! One writer at a time: a file that the operating system unlocks when its process ends, however that is.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use super::StoreError;

/// How often and how far apart [`patiently`] tries.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Held as long as it lives.
pub struct WriterLock {
    file: File,
}

impl WriterLock {
    /// Takes the lock of the index in `folder`; `purpose` is what others are told.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process holds it.
    pub fn take(folder: &Path, purpose: &str) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let failed = |source| StoreError::io(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is a courtesy; that it is held is known.
                file.read_to_string(&mut holder).unwrap_or_default();
                return Err(StoreError::Locked {
                    path: folder.to_owned(),
                    holder: match holder.trim() {
                        "" => "another process".to_owned(),
                        holder => holder.to_owned(),
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        let holder = format!("process {} ({purpose})\n", std::process::id());
        file.write_all(holder.as_bytes()).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for WriterLock {
    /// Says so, since closing is not enough: a process that was being started holds the same file until it runs.
    fn drop(&mut self) {
        // Where this fails, closing the file has the last word.
        self.file.unlock().unwrap_or_default();
    }
}

/// Opens what a [`WriterLock`] stands before, and waits a moment where that is locked: no other writer can hold it,
/// only a process that was being started when the last one closed it.
pub fn patiently<T, E>(
    mut open: impl FnMut() -> Result<T, E>,
    is_locked: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 0..ATTEMPTS {
        match open() {
            Err(error) if is_locked(&error) => thread::sleep(PAUSE),
            opened => return opened,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::{WriterLock, patiently};

    #[test]
    fn a_lock_is_free_once_dropped_though_another_process_holds_its_file() -> Result<(), Error> {
        let folder = tempfile::tempdir()?;
        let take = || WriterLock::take(folder.path(), "a test").map_err(Error::other);
        let lock = take()?;
        assert!(take().is_err_and(|error| error.to_string().contains("(a test)")));
        let _inherited = lock.file.try_clone()?;
        drop(lock);
        take().map(|_| ())
    }

    #[test]
    fn what_is_locked_for_a_moment_is_opened_and_other_failures_are_told_at_once() {
        let mut answers = vec![Ok(1), Err("locked"), Err("locked")];
        let opened = patiently(|| answers.pop().expect("one is left"), |_| true);
        assert_eq!((opened, answers.len()), (Ok(1), 0));
        let mut answers = vec![Ok(1), Err("damaged")];
        let failed = patiently(
            || answers.pop().expect("one is left"),
            |&error| error == "locked",
        );
        assert_eq!((failed, answers.len()), (Err("damaged"), 1));
    }
}
