//! Where does the model run? Here is a wish, gimme a [`Device`](candle_core::Device).

#[cfg(not(feature = "cuda"))]
#[path = "disabled.rs"]
mod cuda;
#[cfg(feature = "cuda")]
#[path = "enabled.rs"]
mod cuda;

use candle_core::Device;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
    /// The first GPU where there is one.
    Auto,
}

impl DeviceChoice {
    /// The device, and why it is not the one asked for.
    pub fn open(self) -> (Device, Option<String>) {
        let gpu = match self {
            Self::Cpu => return (Device::Cpu, None),
            Self::Cuda(number) => cuda::open(number),
            Self::Auto => cuda::open(0),
        };
        match gpu {
            Ok(device) => (device, None),
            Err(_) if self == Self::Auto => (Device::Cpu, None),
            Err(reason) => (Device::Cpu, Some(reason)),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let number = match name {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            "cuda" => Some(0),
            _ => name.strip_prefix("cuda:").and_then(|own| own.parse().ok()),
        };
        let number = number.ok_or_else(|| {
            format!("`{name}` is no device; give cpu, cuda, cuda:1 and so on, or auto")
        })?;
        Ok(Self::Cuda(number))
    }
}
