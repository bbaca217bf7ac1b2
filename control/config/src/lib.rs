//! Configuration: types, TOML, validation with file, line and field.
