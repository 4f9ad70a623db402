//! Files in an archive, read one by one under a limit of bytes for all of them; nothing is ever unpacked to disk.

use std::io::{Read, Seek};

use zip::{ZipArchive, result::ZipError};

use super::encoding::decode;

/// All that is read of one archive, unpacked.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// An archive of which single files are read.
pub(super) struct Zipped<R> {
    archive: ZipArchive<R>,
    left: u64,
}

impl<R: Read + Seek> Zipped<R> {
    /// Opens an archive; the error is a clause about the file.
    pub fn open(reader: R) -> Result<Self, String> {
        let archive = ZipArchive::new(reader).map_err(|error| said(&error))?;
        Ok(Self {
            archive,
            left: MAX_UNPACKED_BYTES,
        })
    }

    /// The file of this name as text, or none where there is no such file; the error is a clause about the archive.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        let file = match self.archive.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(said(&error)),
        };
        let mut bytes = Vec::new();
        // One byte more tells a file that just fits from one that does not.
        let read = file.take(self.left + 1).read_to_end(&mut bytes);
        let read = read.map_err(|_| "is damaged; get a whole copy of it".to_owned())?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let megabytes = MAX_UNPACKED_BYTES >> 20;
            format!("unpacks to more than {megabytes} MB of text; split it")
        })?;
        Ok(Some(decode(bytes)))
    }
}

fn said(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            "is encrypted; save it without a password".to_owned()
        }
        ZipError::CompressionMethodNotSupported(_) => {
            "is compressed in a way that is not read; save it anew".to_owned()
        }
        _ => "is damaged; get a whole copy of it".to_owned(),
    }
}

/// Archives that tests make of names and contents.
#[cfg(test)]
pub(super) mod testing {
    use std::io::{Cursor, Write};

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    /// The bytes of an archive; its first file is stored as it is.
    pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (index, (name, content)) in files.iter().enumerate() {
            let method = match index {
                0 => CompressionMethod::Stored,
                _ => CompressionMethod::Deflated,
            };
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_not_read() {
        let bomb = "a".repeat(MAX_UNPACKED_BYTES as usize / 2 + 1);
        let bytes = testing::archive(&[("x", "small"), ("a", &bomb), ("b", &bomb)]);
        assert!(bytes.len() < 1 << 20);
        let mut zipped = Zipped::open(Cursor::new(bytes)).unwrap();
        assert_eq!(zipped.text("x"), Ok(Some("small".to_owned())));
        assert_eq!(zipped.text("none"), Ok(None));
        assert!(zipped.text("a").is_ok());
        assert!(
            zipped
                .text("b")
                .is_err_and(|reason| reason.contains("64 MB"))
        );
    }
}
