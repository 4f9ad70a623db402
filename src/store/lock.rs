//! One writer at a time: a file that the operating system unlocks when its process ends, however that is.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
};

use super::StoreError;

/// Held as long as it lives.
pub struct WriterLock {
    _file: File,
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
        Ok(Self { _file: file })
    }
}
