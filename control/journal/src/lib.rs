//! The journal: segment format, writer, recovery, verification, reader.
