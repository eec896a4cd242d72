//! Which instruction set to compute with: detected once, forced in tests.

use std::env;

/// The variable that forces an instruction set: `scalar`, `avx2`, `avxvnni`, `avx512` or `neon`.
const FORCE_VARIABLE: &str = "TOKENMILL_ISA";

/// A level of vector instructions that the kernels are written for.
///
/// Every level gives the same bits; they differ only in speed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Isa {
    /// Plain Rust, on any machine.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-VNNI, which is VNNI without AVX-512 (and all of `Avx2`).
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI (and all of `Avx2`).
    Avx512,
    /// AArch64 with NEON and the dot product instructions.
    Neon,
}

/// Why [`Isa::from_env`] refused the forced level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsaError {
    /// The variable holds a word that names no level.
    #[error(
        "{FORCE_VARIABLE}={0} names no instruction set; use scalar, avx2, avxvnni, avx512 or neon, or leave it unset"
    )]
    Unknown(String),
    /// The level exists, but this CPU lacks it.
    #[error("{FORCE_VARIABLE}={name} asks for instructions that this CPU lacks; it has {}", names(.available))]
    Lacking {
        /// The level asked for.
        name: &'static str,
        /// The levels that this CPU has.
        available: Vec<Isa>,
    },
}

impl Isa {
    /// All levels, slowest first on each architecture.
    pub const ALL: [Isa; 5] = [Isa::Scalar, Isa::Avx2, Isa::AvxVnni, Isa::Avx512, Isa::Neon];

    /// The best level that this CPU has.
    ///
    /// Reads nothing but the CPU; a program that honours `TOKENMILL_ISA` calls [`Isa::from_env`].
    pub fn detect() -> Isa {
        Isa::ALL
            .into_iter()
            .rev()
            .find(|isa| isa.is_available())
            .unwrap_or(Isa::Scalar)
    }

    /// The level that `TOKENMILL_ISA` forces, else the best one.
    ///
    /// # Errors
    /// The variable holds an unknown word or a level that this CPU lacks.
    pub fn from_env() -> Result<Isa, IsaError> {
        match env::var(FORCE_VARIABLE) {
            Ok(word) => Isa::forced(&word),
            Err(env::VarError::NotPresent) => Ok(Isa::detect()),
            Err(env::VarError::NotUnicode(word)) => {
                Err(IsaError::Unknown(word.to_string_lossy().into_owned()))
            }
        }
    }

    fn forced(word: &str) -> Result<Isa, IsaError> {
        let isa = Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == word)
            .ok_or_else(|| IsaError::Unknown(word.to_owned()))?;
        if isa.is_available() {
            Ok(isa)
        } else {
            Err(IsaError::Lacking {
                name: isa.name(),
                available: Isa::available(),
            })
        }
    }

    /// The levels that this CPU has, slowest first.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The word for this level, as `TOKENMILL_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// Whether this CPU can run the level.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        let avx2 = || {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
        };
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => avx2(),
            Isa::AvxVnni => avx2() && is_x86_feature_detected!("avxvnni"),
            Isa::Avx512 => {
                avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            Isa::Neon => false,
        }
    }

    /// Whether this CPU can run the level.
    #[cfg(target_arch = "aarch64")]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Neon => {
                std::arch::is_aarch64_feature_detected!("neon")
                    && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            Isa::Avx2 | Isa::AvxVnni | Isa::Avx512 => false,
        }
    }

    /// Whether this CPU can run the level.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub fn is_available(self) -> bool {
        self == Isa::Scalar
    }
}

fn names(levels: &[Isa]) -> String {
    levels.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_level_is_available_and_the_scalar_one_always_is() {
        assert!(Isa::detect().is_available());
        assert_eq!(Isa::available()[0], Isa::Scalar);
        assert_eq!(Isa::available().last(), Some(&Isa::detect()));
    }

    #[test]
    fn a_forced_level_is_taken_or_refused_by_name() {
        assert_eq!(Isa::forced("scalar"), Ok(Isa::Scalar));
        assert_eq!(Isa::forced("sse9"), Err(IsaError::Unknown("sse9".into())));
        for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
            let message = Isa::forced(isa.name()).unwrap_err().to_string();
            assert!(
                message.contains(isa.name()) && message.contains("scalar"),
                "{message}"
            );
        }
    }
}
