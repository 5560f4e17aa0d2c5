//! Shapes and the index against independent oracles.

mod cut;
mod index;
mod polygons;
mod shape;
