//! What a command says: text or JSON on stdout, and an exit code.

use std::fmt;

use serde_json::{Value, json};

/// Version of all `--json` output.
pub const JSON_VERSION: u32 = 1;

/// Exit codes; documented in `--help`.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Something failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage or configuration.
    pub const USAGE: u8 = 2;
    /// Not running, or not healthy.
    pub const UNHEALTHY: u8 = 3;
    /// The journal is damaged.
    pub const DAMAGED: u8 = 4;
    /// Not all orders are known to be cancelled.
    pub const UNKNOWN_ORDERS: u8 = 5;
    /// A resume was refused: somebody killed after the operator had looked.
    pub const KILLED_SINCE: u8 = 6;
    /// Setting limits was refused: others are in force than those that were seen.
    pub const LIMITS_CHANGED: u8 = 7;
    /// It needs a role that whoever asked does not have.
    pub const ROLE: u8 = 8;
    /// A second person has to ask for the same.
    pub const SECOND_PERSON: u8 = 9;
    /// The gate refused what was wanted by hand.
    pub const REFUSED: u8 = 10;
}

/// What came of a command that could be carried out.
#[derive(Debug)]
pub struct Outcome {
    /// For people.
    pub text: String,
    /// For programs; an object.
    pub json: Value,
    /// One of [`exit`].
    pub code: u8,
}

impl Outcome {
    /// An outcome with exit code 0.
    pub fn ok(text: String, json: Value) -> Self {
        Self { text, json, code: exit::OK }
    }

    /// The object with its version.
    pub fn versioned(&self) -> Value {
        let mut object = json!({ "version": JSON_VERSION });
        if let (Some(object), Some(fields)) = (object.as_object_mut(), self.json.as_object()) {
            object.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        object
    }
}

/// A command could not be carried out.
#[derive(Debug)]
pub struct Failure {
    /// Why, and what to do.
    pub message: String,
    /// One of [`exit`].
    pub code: u8,
}

impl Failure {
    /// Exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: exit::FAILED }
    }
    /// Exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: exit::USAGE }
    }
    /// Exit code 3.
    pub fn not_running(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: exit::UNHEALTHY }
    }
}
