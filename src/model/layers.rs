//! Local layers and global blocks in turn, over whole documents.
//!
//! Small documents share a batch. A long one is streamed: some hundred passages at a time go through the layers, its
//! states wait in memory or in a file, and only its latents (some 150 bytes a token) are held whole.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
};

use rayon::prelude::*;

use super::{
    ModelError,
    global::{Document, GLOBAL_AFTER_LAYERS, Global},
    packed::PackedBatch,
    trunk::Trunk,
};

/// Tokens of a document whose states wait in memory, at most: 400 MB.
pub const MAX_TOKENS_IN_MEMORY: usize = 1 << 18;

/// The trunk and, where there are any, the global blocks behind its layers.
pub struct Layers {
    pub trunk: Box<dyn Trunk>,
    /// One for each of [`GLOBAL_AFTER_LAYERS`], or none.
    pub global: Vec<Box<dyn Global>>,
    /// Documents of fewer passages pass the blocks unchanged, those of one in any case.
    pub least_passages: usize,
    pub hidden: usize,
    /// Tokens of a document whose states wait in memory; those of a longer one wait in a file.
    pub max_tokens_in_memory: usize,
}

impl Layers {
    /// The states of every token of `batch`, `[n_tokens, hidden]`.
    ///
    /// `documents` are the borders of documents in passages; no document sees another.
    pub fn forward(
        &self,
        batch: &PackedBatch,
        documents: &[usize],
    ) -> Result<Vec<f32>, ModelError> {
        let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
        let mut done = 0;
        for (block, layer) in self.global.iter().zip(GLOBAL_AFTER_LAYERS) {
            self.trunk.run(batch, done..layer, &mut states)?;
            done = layer;
            let mut rest = states.as_mut_slice();
            let mut parts = Vec::new();
            for passages in documents.windows(2) {
                let starts = &batch.starts[passages[0]..=passages[1]];
                let n_tokens = starts[starts.len() - 1] - starts[0];
                let (own, after) = rest.split_at_mut(n_tokens * self.hidden);
                parts.push((own, starts));
                rest = after;
            }
            parts.into_par_iter().try_for_each(|(states, starts)| {
                let n_passages = starts.len() - 1;
                // One passage has nothing else to see.
                if n_passages >= self.least_passages.max(2) {
                    let starts: Vec<usize> = starts.iter().map(|start| start - starts[0]).collect();
                    let mut reading = block.open(longest(&starts));
                    reading.read(states, &starts)?;
                    reading.close()?.attend(0, states, &starts)?;
                }
                Ok::<_, ModelError>(())
            })?;
        }
        if done < self.trunk.n_layers() {
            self.trunk
                .run(batch, done..self.trunk.n_layers(), &mut states)?;
        }
        Ok(states)
    }

    /// Streams one document, given in batches of its passages, and hands the states of each batch to `finish`.
    pub fn stream(
        &self,
        batches: &[PackedBatch],
        mut finish: impl FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        // Without global blocks no states wait.
        let waiting = batches.iter().filter(|_| !self.global.is_empty());
        let n_tokens: usize = waiting.map(|batch| batch.token_ids.len()).sum();
        let longest = batches.iter().map(|batch| longest(&batch.starts)).max();
        let mut waiting = Waiting::new(
            n_tokens * self.hidden,
            n_tokens <= self.max_tokens_in_memory,
        )?;
        let mut before: Option<Box<dyn Document + '_>> = None;
        let mut done = 0;
        for (block, layer) in self.global.iter().zip(GLOBAL_AFTER_LAYERS) {
            let mut reading = block.open(longest.unwrap_or(0));
            self.pass(
                batches,
                &mut waiting,
                before.as_deref(),
                done..layer,
                |at, waiting, states| {
                    reading.read(states, &batches[at].starts)?;
                    waiting.put(states)
                },
            )?;
            before = Some(reading.close()?);
            done = layer;
        }
        let last = done..self.trunk.n_layers();
        self.pass(
            batches,
            &mut waiting,
            before.as_deref(),
            last,
            |at, _, states| {
                finish(at, states);
                Ok(())
            },
        )
    }

    /// Every batch through the global block before and through `layers`.
    fn pass(
        &self,
        batches: &[PackedBatch],
        waiting: &mut Waiting,
        before: Option<&(dyn Document + '_)>,
        layers: Range<usize>,
        mut then: impl FnMut(usize, &mut Waiting, &[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        waiting.rewind();
        let mut first_passage = 0;
        for (at, batch) in batches.iter().enumerate() {
            let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
            if let Some(document) = before {
                waiting.get(&mut states)?;
                document.attend(first_passage, &mut states, &batch.starts)?;
            }
            if !layers.is_empty() {
                self.trunk.run(batch, layers.clone(), &mut states)?;
            }
            then(at, waiting, &states)?;
            first_passage += batch.len();
        }
        Ok(())
    }
}

fn longest(starts: &[usize]) -> usize {
    let lengths = starts.windows(2).map(|border| border[1] - border[0]);
    lengths.max().unwrap_or(0)
}

/// States that wait for the next layers; they are read and written in order, each place read before it is written.
struct Waiting {
    place: Place,
    /// Values read and written since the last rewind.
    read: usize,
    written: usize,
}

enum Place {
    Memory(Vec<f32>),
    /// A file without a name: it is gone when the process is.
    File(File),
}

impl Waiting {
    fn new(n_values: usize, in_memory: bool) -> Result<Self, ModelError> {
        let place = match in_memory {
            true => Place::Memory(vec![0.0; n_values]),
            false => Place::File(tempfile::tempfile().map_err(ModelError::Waiting)?),
        };
        Ok(Self {
            place,
            read: 0,
            written: 0,
        })
    }

    fn rewind(&mut self) {
        (self.read, self.written) = (0, 0);
    }

    fn get(&mut self, states: &mut [f32]) -> Result<(), ModelError> {
        let first = self.read;
        self.read += states.len();
        match &mut self.place {
            Place::Memory(all) => states.copy_from_slice(&all[first..self.read]),
            Place::File(file) => file
                .seek(position(first))
                .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(states)))
                .map_err(ModelError::Waiting)?,
        }
        Ok(())
    }

    fn put(&mut self, states: &[f32]) -> Result<(), ModelError> {
        let first = self.written;
        self.written += states.len();
        match &mut self.place {
            Place::Memory(all) => all[first..self.written].copy_from_slice(states),
            Place::File(file) => file
                .seek(position(first))
                .and_then(|_| file.write_all(bytemuck::cast_slice(states)))
                .map_err(ModelError::Waiting)?,
        }
        Ok(())
    }
}

/// Where a value lies in the file.
fn position(value: usize) -> SeekFrom {
    SeekFrom::Start((value * size_of::<f32>()) as u64)
}

#[cfg(test)]
mod tests;
