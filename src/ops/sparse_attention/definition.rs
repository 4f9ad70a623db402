//! The definition, in f64 so that differences of it are exact enough to test gradients by.

use super::Inputs;

/// The definition of [`forward`](super::forward): `[n_queries, heads, dimensions + 1]`, log-sum-exp last.
pub fn sparse_attention_slow(inputs: &Inputs<f64>) -> Vec<f64> {
    let (heads, dimensions) = (inputs.heads, inputs.dimensions);
    let mut out = Vec::new();
    for group in 0..inputs.lists.n_groups() {
        for query in inputs.lists.queries_of(group) {
            for head in 0..heads {
                let own = &inputs.queries[(query * heads + head) * dimensions..][..dimensions];
                // The null key: logit 0, value zero.
                let mut logits = vec![(0.0, None)];
                for range in inputs.lists.of(group) {
                    for key in range.start as usize..range.end as usize {
                        let latent = &inputs.latents[key * dimensions..][..dimensions];
                        let product: f64 = own.iter().zip(latent).map(|(q, c)| q * c).sum();
                        let logit = product / (dimensions as f64).sqrt()
                            + inputs.log_sizes[key]
                            + inputs.bias[head * super::N_BUCKETS + usize::from(range.bucket)];
                        logits.push((logit, Some(latent)));
                    }
                }
                let best = logits
                    .iter()
                    .fold(0.0, |best: f64, (logit, _)| best.max(*logit));
                let total: f64 = logits.iter().map(|(logit, _)| (logit - best).exp()).sum();
                let start = out.len();
                out.resize(start + dimensions, 0.0);
                for (logit, latent) in logits {
                    let weight = (logit - best).exp() / total;
                    for (out, value) in out[start..].iter_mut().zip(latent.unwrap_or_default()) {
                        *out += weight * value;
                    }
                }
                out.push(best + total.ln());
            }
        }
    }
    out
}
