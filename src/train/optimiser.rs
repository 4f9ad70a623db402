//! AdamW with clipped gradients, a warm-up and a cosine.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var, backprop::GradStore};

use super::recipe::OptimiserOptions;

const FIRST_DECAY: f64 = 0.9;
const SECOND_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// The rate at the end, beside the highest.
const LAST_SHARE: f64 = 0.05;

/// A named tensor that is learned.
pub struct Parameter {
    pub name: String,
    pub var: Var,
    /// Its highest learning rate.
    pub rate: f64,
}

/// Tensors on a device, and a parameter for each that has a learning rate.
pub fn learnable<'a>(
    tensors: impl IntoIterator<Item = (&'a String, &'a Tensor)>,
    rate: impl Fn(&str) -> Option<f64>,
    device: &Device,
) -> Result<(HashMap<String, Tensor>, Vec<Parameter>)> {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_unstable_by_key(|own| own.0);
    let (mut placed, mut parameters) = (HashMap::new(), Vec::new());
    for (name, tensor) in tensors {
        let mut tensor = tensor.to_device(device)?;
        if let Some(rate) = rate(name) {
            let var = Var::from_tensor(&tensor)?;
            tensor = var.as_tensor().clone();
            let name = name.clone();
            parameters.push(Parameter { name, var, rate });
        }
        placed.insert(name.clone(), tensor);
    }
    Ok((placed, parameters))
}

/// The optimiser and its state.
pub struct Optimiser {
    options: OptimiserOptions,
    parameters: Vec<Parameter>,
    /// Running means of the gradient and of its square, one a parameter.
    moments: Vec<(Tensor, Tensor)>,
    n_steps: usize,
    done: usize,
}

impl Optimiser {
    /// Learns `parameters` in `n_steps`.
    pub fn new(
        parameters: Vec<Parameter>,
        options: OptimiserOptions,
        n_steps: usize,
    ) -> Result<Self> {
        let moments = parameters.iter().map(|parameter| {
            let zeros = parameter.var.zeros_like()?;
            Ok((zeros.clone(), zeros))
        });
        Ok(Self {
            moments: moments.collect::<Result<_>>()?,
            options,
            parameters,
            n_steps,
            done: 0,
        })
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Steps done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The share of the highest rate that the next step takes.
    pub fn schedule(&self) -> f64 {
        let warmup = self.options.warmup;
        if self.done < warmup {
            return (self.done + 1) as f64 / warmup as f64;
        }
        let rest = self.n_steps.saturating_sub(warmup).max(1);
        let at = (self.done - warmup) as f64 / rest as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * at.min(1.0)).cos());
        LAST_SHARE + (1.0 - LAST_SHARE) * cosine
    }

    /// Moves the parameters against the gradients and returns the gradients' length before clipping.
    ///
    /// `gradients` are those of batches whose losses add up; a parameter without a gradient stays.
    pub fn step(&mut self, gradients: &Gradients) -> Result<f64> {
        let length = gradients.length()?;
        let shrink = (self.options.clip / (length + 1e-6)).min(1.0);
        let schedule = self.schedule();
        self.done += 1;
        let first_bias = 1.0 - FIRST_DECAY.powi(self.done as i32);
        let second_bias = 1.0 - SECOND_DECAY.powi(self.done as i32);
        for (parameter, (first, second)) in self.parameters.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.of(&parameter.name) else {
                continue;
            };
            let gradient = (gradient * shrink)?;
            *first = ((&*first * FIRST_DECAY)? + (&gradient * (1.0 - FIRST_DECAY))?)?;
            *second = ((&*second * SECOND_DECAY)? + (gradient.sqr()? * (1.0 - SECOND_DECAY))?)?;
            let root = ((&*second / second_bias)?.sqrt()? + EPSILON)?;
            let rate = parameter.rate * schedule;
            let step = ((&*first * (rate / first_bias))? / root)?;
            let decay = match parameter.var.rank() {
                2.. => rate * self.options.weight_decay,
                _ => 0.0,
            };
            let moved = ((parameter.var.as_tensor() * (1.0 - decay))? - step)?;
            parameter.var.set(&moved.detach())?;
        }
        Ok(length)
    }

    /// Everything that a later run needs to go on, by name.
    pub fn state(&self) -> HashMap<String, Tensor> {
        let parameters = self.parameters.iter().zip(&self.moments);
        let named = parameters.flat_map(|(parameter, (first, second))| {
            let name = &parameter.name;
            [
                (name.clone(), parameter.var.as_tensor().clone()),
                (format!("{name}/first"), first.clone()),
                (format!("{name}/second"), second.clone()),
            ]
        });
        named.collect()
    }

    /// Takes up the state of an earlier run behind its step `done`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn resume(&mut self, state: &HashMap<String, Tensor>, done: usize) -> Result<()> {
        let find = |name: String| {
            let found = state.get(&name).cloned();
            found.ok_or_else(|| anyhow::anyhow!("the checkpoint has no {name}"))
        };
        for (parameter, (first, second)) in self.parameters.iter().zip(&mut self.moments) {
            parameter.var.set(&find(parameter.name.clone())?)?;
            *first = find(format!("{}/first", parameter.name))?;
            *second = find(format!("{}/second", parameter.name))?;
        }
        self.done = done;
        Ok(())
    }
}

/// Gradients by the names of parameters, summed over batches.
#[derive(Default)]
pub struct Gradients(HashMap<String, Tensor>);

impl Gradients {
    /// Adds those of one batch.
    pub fn add(&mut self, parameters: &[Parameter], store: &GradStore) -> Result<()> {
        for parameter in parameters {
            let Some(gradient) = store.get(parameter.var.as_tensor()) else {
                continue;
            };
            let sum = match self.0.get(&parameter.name) {
                Some(sum) => (sum + gradient)?,
                None => gradient.clone(),
            };
            self.0.insert(parameter.name.clone(), sum.detach());
        }
        Ok(())
    }

    /// That of one parameter.
    pub fn of(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// The length of all of them as one vector.
    fn length(&self) -> Result<f64> {
        let mut squares = Vec::with_capacity(self.0.len());
        let mut names: Vec<&String> = self.0.keys().collect();
        names.sort_unstable();
        for name in names {
            squares.push(self.0[name].sqr()?.sum_all()?);
        }
        if squares.is_empty() {
            return Ok(0.0);
        }
        let sum: f32 = Tensor::stack(&squares, 0)?.sum_all()?.to_scalar()?;
        Ok(f64::from(sum).sqrt())
    }
}
