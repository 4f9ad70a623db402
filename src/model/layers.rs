//! Local layers and global blocks in turn, over whole documents.
//!
//! Small documents share a batch. A long one is streamed: as many passages as the cache holds go through the layers at a
//! time, its states wait in memory or in a file, and only its latents (some 150 bytes a token) are held whole.

mod waiting;

use std::ops::Range;

use rayon::prelude::*;
use waiting::{Place, Waiting};

use super::{
    ModelError,
    global::{Document, GLOBAL_AFTER_LAYERS, Global},
    packed::PackedBatch,
    trunk::Trunk,
};

/// The trunk and, where there are any, the global blocks behind its layers.
pub struct Layers {
    pub trunk: Box<dyn Trunk>,
    /// One for each of [`GLOBAL_AFTER_LAYERS`], or none.
    pub global: Vec<Box<dyn Global>>,
    /// Documents of fewer passages pass the blocks unchanged, those of one in any case.
    pub least_passages: usize,
    pub hidden: usize,
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
        finish: impl FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        let n_tokens: usize = batches.iter().map(|batch| batch.token_ids.len()).sum();
        let place = match self.global.is_empty() {
            true => Place::Nowhere,
            false => Place::of(n_tokens * self.hidden)?,
        };
        self.stream_by(place, batches, finish)
    }

    /// The same, with states that wait in this place.
    fn stream_by(
        &self,
        place: Place,
        batches: &[PackedBatch],
        mut finish: impl FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        let mut waiting = Waiting::new(place);
        let longest = batches.iter().map(|batch| longest(&batch.starts)).max();
        let mut before: Option<Box<dyn Document + '_>> = None;
        let mut done = 0;
        for (block, layer) in self.global.iter().zip(GLOBAL_AFTER_LAYERS) {
            let mut reading = block.open(longest.unwrap_or(0));
            self.each_batch(batches, |at, first_passage, values| {
                let batch = &batches[at];
                let states = waiting.take(values.clone())?;
                self.advance(batch, first_passage, before.as_deref(), done..layer, states)?;
                reading.read(states, &batch.starts)?;
                waiting.keep(values)
            })?;
            before = Some(reading.close()?);
            done = layer;
        }
        let last = done..self.trunk.n_layers();
        self.each_batch(batches, |at, first_passage, values| {
            let states = waiting.take(values)?;
            let before = before.as_deref();
            self.advance(&batches[at], first_passage, before, last.clone(), states)?;
            finish(at, states);
            Ok(())
        })
    }

    /// Calls `work` with the place of each batch, its first passage and the place of its states among all.
    fn each_batch(
        &self,
        batches: &[PackedBatch],
        mut work: impl FnMut(usize, usize, Range<usize>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let (mut first_passage, mut first) = (0, 0);
        for (at, batch) in batches.iter().enumerate() {
            let end = first + batch.token_ids.len() * self.hidden;
            work(at, first_passage, first..end)?;
            (first_passage, first) = (first_passage + batch.len(), end);
        }
        Ok(())
    }

    /// A batch through the global block `before` and through `layers`.
    fn advance(
        &self,
        batch: &PackedBatch,
        first_passage: usize,
        before: Option<&(dyn Document + '_)>,
        layers: Range<usize>,
        states: &mut [f32],
    ) -> Result<(), ModelError> {
        if let Some(document) = before {
            document.attend(first_passage, states, &batch.starts)?;
        }
        match layers.is_empty() {
            true => Ok(()),
            false => self.trunk.run(batch, layers, states),
        }
    }
}

fn longest(starts: &[usize]) -> usize {
    let lengths = starts.windows(2).map(|border| border[1] - border[0]);
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
