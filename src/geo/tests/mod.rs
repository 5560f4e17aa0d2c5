//! Shapes and the index against independent oracles.

mod index;
mod polygons;
mod shape;
