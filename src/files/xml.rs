//! XML as a stream of few kinds of events: without entities of its own, bounded in depth and in the length of a part.

use std::{io::BufRead, sync::Arc};

use encoding_rs::Encoding;
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use super::{
    FileError, Finding, FindingCode,
    decoded::{Bounded, Decoded},
    finding::quote,
};

/// Elements within elements: real files have some ten.
pub(super) const DEPTH_MAX: usize = 256;

/// Longest name of an element, in bytes: the names of all that are open are kept.
const NAME_BYTES_MAX: usize = 1024;

/// Longest tag, text or comment beyond what a feature may have, in bytes.
const SLACK_BYTES: usize = 64 * 1024;

/// Something in the document.
pub(super) enum Node {
    Open(Tag),
    Close,
    Text(String),
    /// A reference to something that a DTD would have to declare; nothing is looked up.
    Unknown(String),
    End,
}

/// An element's beginning.
pub(super) struct Tag(BytesStart<'static>);

impl Tag {
    /// The name without its prefix.
    pub(super) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// An attribute's value, without blanks around it.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let attribute = self.0.try_get_attribute(name).ok()??;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        Some(value.map_or_else(|_| attribute.value.trim().to_owned(), |value| value.trim().to_owned()))
    }
}

/// A reader of one document.
pub(super) struct Xml<R> {
    reader: Reader<Decoded<Bounded<R>>>,
    buffer: Vec<u8>,
    /// Names of the elements that are open, to tell where a file breaks off.
    open: Vec<String>,
    line: u64,
    dtd_line: Option<u64>,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(input: R, bytes_max: u64, feature_bytes_max: usize) -> Result<Self, FileError> {
        let input = Bounded::new(input, bytes_max);
        let decoded = Decoded::new(input, feature_bytes_max.saturating_add(SLACK_BYTES), declared)?;
        let mut reader = Reader::from_reader(decoded);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Ok(Self {
            reader,
            buffer: Vec::new(),
            open: Vec::new(),
            line: 1,
            dtd_line: None,
        })
    }

    /// The line of the latest node.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The element round the one that was just opened.
    pub(super) fn parent(&self) -> Option<&str> {
        self.open.iter().nth_back(1).map(String::as_str)
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.get_ref().bytes()
    }

    /// Whether some bytes were no UTF-8.
    pub(super) fn is_guessed(&self) -> bool {
        self.reader.get_ref().is_guessed()
    }

    /// The line of a document type declaration, which is passed over.
    pub(super) fn dtd_line(&self) -> Option<u64> {
        self.dtd_line
    }

    pub(super) fn next(&mut self) -> Result<Node, FileError> {
        loop {
            self.buffer.clear();
            self.reader.get_mut().begin_part();
            self.line = self.reader.get_ref().line();
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(failed(error, self.line)),
            };
            match event {
                Event::Start(tag) => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(FileError::TooDeep {
                            line: self.line,
                            depth_max: DEPTH_MAX,
                        });
                    }
                    if tag.name().as_ref().len() > NAME_BYTES_MAX {
                        return Err(FileError::Xml {
                            line: self.line,
                            message: format!("an element's name is longer than {NAME_BYTES_MAX} bytes"),
                        });
                    }
                    let tag = Tag(tag.into_owned());
                    self.open.push(tag.name().to_owned());
                    return Ok(Node::Open(tag));
                }
                Event::End(_) => {
                    self.open.pop();
                    return Ok(Node::Close);
                }
                Event::Text(text) => return Ok(Node::Text(text.xml10_content().into_owned())),
                Event::CData(text) => return Ok(Node::Text(text.xml10_content().into_owned())),
                Event::GeneralRef(reference) => {
                    return Ok(match reference.resolve_char_ref() {
                        Ok(Some(character)) => Node::Text(character.to_string()),
                        Ok(None) => match resolve_predefined_entity(&reference) {
                            Some(text) => Node::Text(text.to_owned()),
                            None => Node::Unknown(reference.to_string()),
                        },
                        Err(_) => Node::Unknown(reference.to_string()),
                    });
                }
                Event::DocType(_) => self.dtd_line = Some(self.line),
                Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => {
                    return match self.open.last() {
                        Some(name) => Err(FileError::Xml {
                            line: self.line,
                            message: format!("the file ends before {} does", quote(&format!("<{name}>"))),
                        }),
                        None => Ok(Node::End),
                    };
                }
            }
        }
    }

    /// Passes over the element that was just opened; how many elements of a name were in it.
    pub(super) fn skip(&mut self, noticing: &str) -> Result<u64, FileError> {
        let depth = self.open.len();
        let mut noticed = 0;
        while self.open.len() >= depth {
            if let Node::Open(tag) = self.next()? {
                noticed += u64::from(tag.name() == noticing);
            }
        }
        Ok(noticed)
    }

    /// The text of the element that was just opened, to its end, with the texts of elements in it. What is wrong with
    /// the text alone is a finding.
    pub(super) fn text(&mut self, bytes_max: usize) -> Result<Result<String, Finding>, FileError> {
        let depth = self.open.len();
        let mut text = String::new();
        let mut problem = None;
        while self.open.len() >= depth {
            match self.next()? {
                Node::Text(more) if text.len() + more.len() <= bytes_max => text.push_str(&more),
                Node::Text(_) => {
                    let name = self.open.last().map(String::as_str).unwrap_or_default();
                    problem.get_or_insert_with(|| too_long(name, bytes_max));
                }
                Node::Unknown(entity) => {
                    problem.get_or_insert_with(|| unknown_entity(&entity));
                }
                Node::Open(_) | Node::Close | Node::End => {}
            }
        }
        Ok(problem.map_or(Ok(text), Err))
    }
}

fn too_long(name: &str, bytes_max: usize) -> Finding {
    Finding::error(
        FindingCode::FeatureTooLong,
        format!(
            "the text in {} is longer than {bytes_max} bytes",
            quote(&format!("<{name}>"))
        ),
        "shorten it",
    )
}

fn unknown_entity(entity: &str) -> Finding {
    Finding::error(
        FindingCode::RowUnreadable,
        format!(
            "{} is not known, and a DTD's entities are not looked up",
            quote(&format!("&{entity};"))
        ),
        "write the character itself, or its number like `&#233;`",
    )
}

/// The encoding that the XML declaration names.
fn declared(head: &[u8]) -> Result<Option<&'static Encoding>, FileError> {
    let head = String::from_utf8_lossy(head);
    let Some(declaration) = head
        .trim_start()
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split_once("?>"))
    else {
        return Ok(None);
    };
    let Some((_, value)) = declaration.0.split_once("encoding") else {
        return Ok(None);
    };
    let value = value.trim_start().trim_start_matches('=').trim_start();
    let quoted = |mark| value.strip_prefix(mark)?.split(mark).next();
    let label = quoted('"').or_else(|| quoted('\'')).unwrap_or_default();
    match Encoding::for_label(label.as_bytes()) {
        // Without a byte order mark it can't be one of these: the declaration was readable.
        Some(encoding) if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE => Ok(None),
        Some(encoding) => Ok(Some(encoding)),
        None => Err(FileError::Encoding { label: quote(label) }),
    }
}

fn failed(error: quick_xml::Error, line: u64) -> FileError {
    match error {
        quick_xml::Error::Io(error) => match Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(shared) => FileError::Io(std::io::Error::new(shared.kind(), shared.to_string())),
        },
        error => FileError::Xml {
            line,
            message: error.to_string(),
        },
    }
}
