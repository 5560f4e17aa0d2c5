//! Use cases over traits: what Beckon does, without knowing which store, provider or web framework serves it.

pub mod ports;
