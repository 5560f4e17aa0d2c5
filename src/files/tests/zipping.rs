//! Writes zip archives, good ones and others.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// A file in an archive, and what to claim of it.
pub(super) struct Packed<'a> {
    pub(super) name: &'a str,
    pub(super) content: &'a [u8],
    pub(super) is_deflated: bool,
    pub(super) method: Option<u16>,
    pub(super) flags: u16,
    /// Claimed sizes, compressed and not, in the directory.
    pub(super) claimed: Option<(u32, u32)>,
    pub(super) crc_error: u32,
    /// The extra field in the directory.
    pub(super) extra: Vec<u8>,
}

impl<'a> Packed<'a> {
    pub(super) fn new(name: &'a str, content: &'a [u8]) -> Self {
        Self {
            name,
            content,
            is_deflated: true,
            method: None,
            flags: 0,
            claimed: None,
            crc_error: 0,
            extra: Vec::new(),
        }
    }
}

/// An archive of deflated files.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let packed: Vec<Packed<'_>> = files.iter().map(|(name, content)| Packed::new(name, content)).collect();
    zip_of(&packed)
}

pub(super) fn zip_of(files: &[Packed<'_>]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for file in files {
        let mut crc = Crc::new();
        crc.update(file.content);
        let content = if file.is_deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(file.content).unwrap();
            encoder.finish().unwrap()
        } else {
            file.content.to_vec()
        };
        let offset = bytes.len() as u32;
        let (packed, unpacked) = file
            .claimed
            .unwrap_or((content.len() as u32, file.content.len() as u32));
        let mut common = Vec::new();
        common.extend([20, 0]);
        common.extend(file.flags.to_le_bytes());
        common.extend(
            file.method
                .unwrap_or(if file.is_deflated { 8 } else { 0 })
                .to_le_bytes(),
        );
        common.extend([0; 4]);
        common.extend((crc.sum() ^ file.crc_error).to_le_bytes());
        common.extend(packed.to_le_bytes());
        common.extend(unpacked.to_le_bytes());
        common.extend((file.name.len() as u16).to_le_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend([0; 2]);
        bytes.extend(file.name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend((file.extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(file.name.as_bytes());
        directory.extend(&file.extra);
    }
    let offset = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((files.len() as u16).to_le_bytes());
    bytes.extend((files.len() as u16).to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}
