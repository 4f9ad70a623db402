//! Which instructions does this processor have? One kernel in plain Rust, compiled once for each answer.
//!
//! A [`Kernel`] is generic over an [`Isa`]. [`Instructions::run`] calls the copy that was compiled for what the
//! processor has: inlining carries the target features into the kernel's loops, which the compiler then
//! vectorises. Only dot products of int8 are spelt in intrinsics.

use std::sync::OnceLock;

use super::int8_product::{Portable, Tile};

/// A set of instructions; a value of the type proves that the processor has them.
pub trait Isa: Copy + Send + Sync {
    /// Rows of activations that a tile takes at most, not more than 6.
    const TILE_ROWS: usize;
    /// True when a·b + c is one instruction.
    const FUSED: bool;

    /// Multiplies a tile of `ROWS` rows into `out`; [`Tile`] says what and how.
    ///
    /// # Safety
    ///
    /// What the tile names must lie inside its slices and `out`, which `Tile::multiply` checks.
    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]);

    /// Σ a·b of codes within ±127; lengths are equal and a multiple of 64.
    fn dot(self, a: &[i8], b: &[i8]) -> i32;
}

/// Work that runs on any [`Isa`].
pub trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, and so is what they call in their loops. Those are `for` loops:
    /// chains of iterators are functions of their own, compiled without the instructions.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// A set of instructions that was found in this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    Portable,
}

impl Instructions {
    /// The best of this processor.
    pub fn best() -> Self {
        static BEST: OnceLock<Instructions> = OnceLock::new();
        *BEST.get_or_init(|| Self::all()[0])
    }

    /// All of this processor, the best first; plain Rust is always the last.
    pub fn all() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 && is_x86_feature_detected!("avx512vnni") {
                sets.push(Self(Set::Avx512Vnni));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                sets.push(Self(Set::AvxVnni));
            }
            if avx2 {
                sets.push(Self(Set::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            sets.push(Self(Set::NeonDot));
        }
        sets.push(Self(Set::Portable));
        sets
    }

    /// True when there is nothing but plain Rust.
    pub fn is_portable(self) -> bool {
        self.0 == Set::Portable
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot => "NEON",
            Set::Portable => "portable",
        }
    }

    /// Runs `kernel` with these instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: only `all` makes a set, and only one that it found.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => unsafe { x86::avx512_vnni(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => unsafe { x86::avx_vnni(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot => unsafe { arm::neon_dot(kernel) },
            Set::Portable => kernel.run(Portable),
        }
    }
}

/// The entrances whose features the kernels inherit.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Kernel;
    use crate::ops::int8_product::{Avx2, Avx512Vnni, AvxVnni};

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    pub fn avx512_vnni<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512Vnni::new())
    }

    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub fn avx_vnni<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(AvxVnni::new())
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2::new())
    }
}

/// The entrance whose features the kernels inherit.
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::Kernel;
    use crate::ops::int8_product::NeonDot;

    #[target_feature(enable = "neon,dotprod")]
    pub fn neon_dot<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(NeonDot::new())
    }
}
