//! Counts lines as editors do: `\n`, `\r\n` and a lone `\r` end one.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

/// Where a reader is.
#[derive(Debug, Clone)]
pub(super) struct LineCount {
    offset: u64,
    line: u64,
    line_start: u64,
    is_after_return: bool,
}

impl LineCount {
    /// Begins in a line (from 1).
    pub(super) fn from(line: u64) -> Self {
        Self {
            offset: 0,
            line,
            line_start: 0,
            is_after_return: false,
        }
    }

    /// Goes on by these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.offset += 1;
            let is_return = *byte == b'\r';
            if is_return || *byte == b'\n' {
                // The second byte of `\r\n` ends no line of its own.
                self.line += u64::from(is_return || !self.is_after_return);
                self.line_start = self.offset;
            }
            self.is_after_return = is_return;
        }
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The column of the next byte, from 1.
    pub(super) fn column(&self) -> u64 {
        self.offset - self.line_start + 1
    }
}

/// Passes bytes on and remembers where lines begin, until they are asked for. A record that is too long breaks the
/// reading off, so that a quote that is never closed doesn't take the whole file into memory.
#[derive(Debug)]
pub(super) struct Numbered<R> {
    input: R,
    count: LineCount,
    /// Offset and number of each line that isn't empty.
    starts: VecDeque<(u64, u64)>,
    is_in_line: bool,
    record_start: u64,
    record_bytes_max: u64,
    is_too_long: bool,
}

impl<R: Read> Numbered<R> {
    pub(super) fn new(input: R, record_bytes_max: u64) -> Self {
        Self {
            input,
            count: LineCount::from(1),
            starts: VecDeque::new(),
            is_in_line: false,
            record_start: 0,
            record_bytes_max,
            is_too_long: false,
        }
    }

    /// The line in which the record at this offset begins. Offsets must not descend.
    pub(super) fn line_at(&mut self, offset: u64) -> u64 {
        while self.starts.front().is_some_and(|(start, _)| *start < offset) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.count.line(), |(_, line)| *line)
    }

    /// Says that a record begins at this offset.
    pub(super) fn begin_record(&mut self, offset: u64) {
        self.record_start = offset;
    }

    /// Whether the reading was broken off.
    pub(super) fn is_too_long(&self) -> bool {
        self.is_too_long
    }
}

impl<R: Read> Read for Numbered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.count.offset - self.record_start > self.record_bytes_max {
            self.is_too_long = true;
            return Err(io::Error::other("the record is too long"));
        }
        let length = self.input.read(buffer)?;
        for byte in &buffer[..length] {
            let is_end = matches!(byte, b'\r' | b'\n');
            if !is_end && !self.is_in_line {
                self.starts.push_back((self.count.offset, self.count.line()));
            }
            self.is_in_line = !is_end;
            self.count.feed(std::slice::from_ref(byte));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_do() {
        let text = b"a\nb\r\nc\rd\n\n\ne";
        let mut numbered = Numbered::new(&text[..], 100);
        io::copy(&mut numbered, &mut io::sink()).unwrap();
        assert_eq!(
            [0, 2, 5, 7, 9, 12].map(|offset| numbered.line_at(offset)),
            [1, 2, 3, 4, 7, 7]
        );
        let mut count = LineCount::from(3);
        count.feed(b"a\r\nbc");
        assert_eq!((count.line(), count.column()), (4, 3));
    }
}
