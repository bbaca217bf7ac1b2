//! What a strategy is told at construction.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use tern_core::units::Symbol;

/// A parameter that a strategy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name in the configuration.
    pub name: &'static str,
    /// Value when the configuration does not say.
    pub default: i64,
    /// Least and greatest value.
    pub range: (i64, i64),
    /// What it does, with its unit.
    pub help: &'static str,
}

/// Parameters as the configuration has them, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyParams(BTreeMap<String, i64>);

impl<N: Into<String>> FromIterator<(N, i64)> for StrategyParams {
    fn from_iter<T: IntoIterator<Item = (N, i64)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl StrategyParams {
    /// The values of `known`, in that order.
    ///
    /// # Errors
    /// The first parameter that is unknown or out of range.
    pub(crate) fn read<const N: usize>(&self, known: &[Param; N]) -> Result<[i64; N], ParamError> {
        if let Some(name) = self.0.keys().find(|name| known.iter().all(|param| param.name != name.as_str())) {
            let known = known.iter().map(|param| param.name).collect();
            return Err(ParamError::Unknown { name: name.clone(), known });
        }
        let mut values = [0; N];
        for (value, param) in values.iter_mut().zip(known) {
            *value = self.0.get(param.name).copied().unwrap_or(param.default);
            if !(param.range.0..=param.range.1).contains(value) {
                return Err(ParamError::Range { param: *param, value: *value });
            }
        }
        Ok(values)
    }
}

/// Everything that a strategy is made from.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Instruments that there can be.
    pub instruments_max: usize,
    /// Symbols to trade; empty means every one.
    pub symbols: &'a [Symbol],
    /// Parameters.
    pub params: &'a StrategyParams,
}

/// Why a strategy was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamError {
    /// The registry has no such strategy.
    Strategy {
        /// The name that was asked for.
        name: String,
    },
    /// The strategy has no such parameter.
    Unknown {
        /// The name.
        name: String,
        /// The names it has.
        known: Vec<&'static str>,
    },
    /// The value is out of range.
    Range {
        /// Which parameter.
        param: Param,
        /// The value.
        value: i64,
    },
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strategy { name } => {
                let known: Vec<&str> = crate::REGISTRY.iter().map(|entry| entry.name).collect();
                write!(f, "no strategy is called `{name}`; there are {}", known.join(", "))
            }
            Self::Unknown { name, known } => {
                write!(f, "no parameter is called `{name}`; there are {}", known.join(", "))
            }
            Self::Range { param, value } => write!(
                f,
                "`{}` is {value}; it must be between {} and {} ({})",
                param.name, param.range.0, param.range.1, param.help
            ),
        }
    }
}

impl core::error::Error for ParamError {}
