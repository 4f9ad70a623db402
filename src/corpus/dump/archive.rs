//! Reads a file as if it were not compressed, by its first bytes: bzip2, gzip, Zstandard or none of them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Chain, Cursor, Read},
    path::Path,
};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Read at once from the file.
const BUFFER_BYTES: usize = 64 << 10;

/// What a dump is read from.
pub type Source = Box<dyn Read + Send>;

type Compressed<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Opens a file.
pub(super) fn open(path: &Path) -> io::Result<Source> {
    decompressed(File::open(path)?)
}

/// What `source` holds, decompressed; archives of several streams are read to their end.
pub fn decompressed<R: Read + Send + 'static>(mut source: R) -> io::Result<Source> {
    let mut head = Vec::new();
    source.by_ref().take(4).read_to_end(&mut head)?;
    let magic = head.clone();
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
    Ok(match magic.as_slice() {
        [b'B', b'Z', b'h', _] => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        // The second is how a frame begins that only says something about the others.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Box::new(Frames {
            source: whole,
            decoder: FrameDecoder::new(),
            is_open: false,
        }),
        _ => Box::new(whole),
    })
}

/// The frames of a Zstandard archive, one after the other.
struct Frames<R: Read> {
    source: Compressed<R>,
    decoder: FrameDecoder,
    is_open: bool,
}

impl<R: Read> Frames<R> {
    /// Opens the next frame; false at the end of the archive.
    fn advance(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = &mut self.source.by_ref().take(length.into());
                    io::copy(skipped, &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open {
                self.is_open = self.advance()?;
                if !self.is_open {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.is_open = false;
        }
    }
}
