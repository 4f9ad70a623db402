//! What the global block holds at once grows with the length of the document, not with its square.
//!
//! A binary of its own, because its allocator counts for the whole process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use shas::model::{
    ModelError,
    global::{Context, GlobalBlock, GlobalConfig, GlobalWeights},
};

/// The system's allocator, with what is held now and was held at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            HELD.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HIDDEN: usize = 64;
const PASSAGE: usize = 200;

/// Bytes that a document of so many passages takes beside its states, a token.
fn peak_bytes_a_token(config: &GlobalConfig, n_passages: usize) -> Result<f64, ModelError> {
    let n_tokens = n_passages * PASSAGE;
    let value = |at: usize| ((at * 7_919 % 1_009) as f32 * 0.37).sin();
    let projection: Vec<f32> = (0..config.head_size * HIDDEN).map(value).collect();
    let mut weights = GlobalWeights::start(config, &projection, HIDDEN);
    let output = weights.output.iter_mut().enumerate();
    output.for_each(|(at, own)| *own = 0.1 * value(at));
    let block = GlobalBlock::new(config.clone(), weights, HIDDEN)?;
    let mut states: Vec<f32> = (0..n_tokens * HIDDEN).map(value).collect();
    let before_states = states.clone();
    let starts: Vec<usize> = (0..=n_passages).map(|passage| passage * PASSAGE).collect();
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let mut context = Context::new(&block, PASSAGE);
    context.read(&block, &states, &starts);
    context.close(&block);
    block.attend(&context, 0, &mut states, &starts);
    let peak = PEAK.load(Relaxed) - before;
    assert_ne!(states, before_states);
    Ok(peak as f64 / n_tokens as f64)
}

#[test]
fn memory_is_linear_in_the_document() -> Result<(), ModelError> {
    for name in ["shas", "nsa"] {
        let preset = GlobalConfig::preset(name).expect("the preset is known");
        let config = GlobalConfig {
            heads: 2,
            head_size: 64,
            index_size: 32,
            ..preset
        };
        let short = peak_bytes_a_token(&config, 16)?;
        let long = peak_bytes_a_token(&config, 64)?;
        // A number for each query and key would be 51 kB a token.
        assert!(long < 4_000.0, "{name}: {long} bytes a token");
        assert!(
            long < 1.2 * short,
            "{name}: {short} and {long} bytes a token"
        );
    }
    Ok(())
}
