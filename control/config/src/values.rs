//! Values of keys that have a form of their own in the file.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where a thread is pinned: a number, `"auto"` or `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// The last core that the process may use.
    Auto,
    /// Not pinned.
    None,
    /// This one.
    Number(u16),
}

impl Serialize for Core {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Core::Auto => serializer.serialize_str("auto"),
            Core::None => serializer.serialize_str("none"),
            Core::Number(core) => serializer.serialize_u16(*core),
        }
    }
}

impl<'de> Deserialize<'de> for Core {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Core;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a core number, \"auto\" or \"none\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Core, E> {
                u16::try_from(value)
                    .map(Core::Number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Core, E> {
                match value {
                    "auto" => Ok(Core::Auto),
                    "none" => Ok(Core::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Core {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Core".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "enum": ["auto", "none"] }] })
    }
}

/// Declares that a type is text in the file, by its `FromStr` and `Display`.
macro_rules! text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}
pub(crate) use text;

/// An IPv4 address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Our address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix in bits, 1 to 32.
    pub prefix_bits: u8,
}

impl Network {
    /// Whether `other` is on the same link.
    pub fn contains(&self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_bits)).unwrap_or(0);
        u32::from(self.address) & mask == u32::from(other) & mask
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an IPv4 address with its prefix length");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        let prefix_bits = prefix.parse().ok().filter(|bits| (1..=32).contains(bits)).ok_or_else(wrong)?;
        Ok(Self { address, prefix_bits })
    }
}
text!(Network);

/// Our MAC address on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// The interface's own.
    Auto,
    /// This one.
    Address([u8; 6]),
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mac::Auto => f.write_str("auto"),
            Mac::Address([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
        }
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Mac::Auto);
        }
        let wrong = || format!("`{text}` is not a unicast MAC address");
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() || mac[0] & 1 == 1 || mac == [0; 6] {
            return Err(wrong());
        }
        Ok(Mac::Address(mac))
    }
}
text!(Mac);
