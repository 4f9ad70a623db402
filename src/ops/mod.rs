//! Which numbers make an attention? The operations of the model and of the read path, without tensors.

pub mod granule_keys;
