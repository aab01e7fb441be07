//! Measures the concurrency models, and shows what was measured.

pub mod compare;
pub mod csv;
pub mod figure;
pub mod html;
pub mod report;
pub mod table;
pub mod verdict;

#[cfg(test)]
mod invented;
