//! Shapes and the index against independent oracles.

mod index;
mod peers;
mod polygons;
mod shape;
