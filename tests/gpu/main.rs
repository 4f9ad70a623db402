//! The kernels against the processor's forms, on an NVIDIA GPU: build with `kernels/build.sh --test gpu`, run the binary
//! there. Every number that goes in is one that bf16 holds, so that what differs is the kernels' own rounding.

#[cfg(test)]
mod attention;
#[cfg(test)]
mod block;
#[cfg(test)]
mod encoder;
#[cfg(test)]
mod support;
