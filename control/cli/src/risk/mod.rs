//! `tern risk`: which limits are in force and what uses them, whether a file's are right, what they would change, and
//! setting them. What is in force is read from the segment of the data plane, never from the file.

mod bounds;
mod check;
mod diff;
mod in_force;
mod set;
mod show;
mod wanted;

pub(crate) use bounds::{diff_bounds, set_bounds, set_today};
pub(crate) use check::check;
pub(crate) use diff::diff;
pub(crate) use in_force::{InForce, reduce_only, shown, symbol_text};
pub(crate) use set::set;
pub(crate) use show::show;
