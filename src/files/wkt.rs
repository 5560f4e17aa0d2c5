//! One geometry in well-known text (OGC Simple Features, with the `SRID=4326;` of EWKT).

use super::{
    finding::quote,
    geometry::{Geometry, Vertex},
};

/// Collections in collections: real ones hardly nest at all.
const DEPTH_MAX: usize = 16;

/// Longitude, latitude, height and measure; the last two are passed over.
const ORDINATES_MAX: usize = 4;

/// Why a text is no geometry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub(super) struct WktError {
    /// Bytes before the place, in the text that was given.
    pub(super) offset: usize,
    what: String,
}

/// Reads one geometry, whatever its case and blanks. Places are not checked beyond being finite numbers.
pub(super) fn parse(text: &str) -> Result<Geometry, WktError> {
    let mut parser = Parser { text, at: 0 };
    parser.srid()?;
    let geometry = parser.geometry(0)?;
    parser.take(b';');
    match parser.peek() {
        None => Ok(geometry),
        Some(_) => Err(parser.expected("the end of the geometry")),
    }
}

/// What can be in the parentheses of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Point,
    MultiPoint,
    Line,
    MultiLine,
    Polygon,
    MultiPolygon,
    Collection,
    /// Arcs, which no phone and no map of ours knows.
    Curve,
}

impl Kind {
    /// The type of a word such as `POLYGON`, `Point` or `MultiPointZM`.
    fn of(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase();
        let plain = ["ZM", "Z", "M"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(&word);
        Some(match plain {
            "POINT" => Self::Point,
            "MULTIPOINT" => Self::MultiPoint,
            "LINESTRING" | "LINEARRING" | "CIRCULARSTRING" => Self::Line,
            "MULTILINESTRING" => Self::MultiLine,
            "POLYGON" | "TRIANGLE" => Self::Polygon,
            "MULTIPOLYGON" | "TIN" | "POLYHEDRALSURFACE" => Self::MultiPolygon,
            "GEOMETRYCOLLECTION" => Self::Collection,
            "COMPOUNDCURVE" | "CURVEPOLYGON" | "MULTICURVE" | "MULTISURFACE" => Self::Curve,
            _ => return None,
        })
    }
}

/// Whether a word names a geometry type.
pub(super) fn is_type(word: &str) -> bool {
    Kind::of(word).is_some()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn need(&mut self, wanted: u8, what: &str) -> Result<(), WktError> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    /// Letters from here on; empty when there are none.
    fn word(&mut self) -> &'a str {
        self.run(|byte| byte.is_ascii_alphabetic())
    }

    fn run(&mut self, is_in: impl Fn(u8) -> bool) -> &'a str {
        self.peek();
        let start = self.at;
        let bytes = &self.text.as_bytes()[start..];
        self.at += bytes.iter().take_while(|byte| is_in(**byte)).count();
        &self.text[start..self.at]
    }

    fn error(&self, offset: usize, what: impl Into<String>) -> WktError {
        WktError {
            offset: offset.min(self.text.len()),
            what: what.into(),
        }
    }

    fn expected(&mut self, what: &str) -> WktError {
        let found = if self.peek().is_some() {
            let rest = &self.text[self.at..];
            let is_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';');
            let word = rest.split(is_end).next().unwrap_or_default();
            let first = rest.chars().next().map_or(0, char::len_utf8);
            quote(&rest[..word.len().max(first)])
        } else {
            "the end".to_owned()
        };
        self.error(self.at, format!("expected {what}, found {found}"))
    }

    /// `SRID=4326;` is what is assumed anyway; other systems would put the geometry elsewhere.
    fn srid(&mut self) -> Result<(), WktError> {
        let start = self.at;
        if !self.word().eq_ignore_ascii_case("SRID") {
            self.at = start;
            return Ok(());
        }
        self.need(b'=', "`=` after SRID")?;
        let digits = self.run(|byte| byte.is_ascii_digit());
        if digits.trim_start_matches('0') != "4326" {
            let what =
                format!("the coordinate system SRID={digits} can't be read, only 4326 (WGS84 longitude, latitude)");
            return Err(self.error(start, what));
        }
        self.need(b';', "`;` after the SRID")
    }

    fn geometry(&mut self, depth: usize) -> Result<Geometry, WktError> {
        self.peek();
        let start = self.at;
        let word = self.word();
        let Some(kind) = Kind::of(word) else {
            self.at = start;
            return Err(self.expected("a geometry type such as POINT, POLYGON or MULTIPOLYGON"));
        };
        if kind == Kind::Curve {
            let what = format!(
                "a {} has arcs, which can't be read; save it with straight lines",
                quote(word)
            );
            return Err(self.error(start, what));
        }
        if depth > DEPTH_MAX {
            return Err(self.error(start, format!("collections nest deeper than {DEPTH_MAX}")));
        }
        if self.is_empty()? {
            return Ok(Geometry::Absent);
        }
        match kind {
            Kind::Point => {
                self.need(b'(', "`(`")?;
                let vertex = self.vertex()?;
                self.need(b')', "`)` after one position")?;
                Ok(Geometry::Point(vertex))
            }
            Kind::MultiPoint => {
                let points = self.list(Self::point_in_list)?;
                Ok(Geometry::MultiPoint(points.into_iter().flatten().collect()))
            }
            Kind::Line => {
                self.vertices()?;
                Ok(Geometry::Lines)
            }
            Kind::MultiLine => {
                self.list(Self::vertices)?;
                Ok(Geometry::Lines)
            }
            Kind::Polygon => self.rings().map(Geometry::Polygon),
            Kind::MultiPolygon => {
                let polygons = self.list(Self::rings)?;
                let polygons: Vec<_> = polygons.into_iter().filter(|rings| !rings.is_empty()).collect();
                Ok(if polygons.is_empty() {
                    Geometry::Absent
                } else {
                    Geometry::MultiPolygon(polygons)
                })
            }
            Kind::Collection => {
                let parts = self.list(|parser| parser.geometry(depth + 1))?;
                Ok(Geometry::Collection(parts))
            }
            Kind::Curve => Ok(Geometry::Lines),
        }
    }

    /// The dimensions that may stand apart (`POINT ZM (...)`), then whether `EMPTY` follows.
    fn is_empty(&mut self) -> Result<bool, WktError> {
        let start = self.at;
        let word = self.word().to_ascii_uppercase();
        let word = match word.as_str() {
            "Z" | "M" | "ZM" => self.word().to_ascii_uppercase(),
            _ => word,
        };
        match word.as_str() {
            "" => Ok(false),
            "EMPTY" => Ok(true),
            _ => {
                self.at = start;
                Err(self.expected("`(` or EMPTY"))
            }
        }
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, WktError>) -> Result<Vec<T>, WktError> {
        self.need(b'(', "`(`")?;
        let mut items = vec![item(self)?];
        while self.take(b',') {
            items.push(item(self)?);
        }
        self.need(b')', "`,` or `)`")?;
        Ok(items)
    }

    /// Rings; none for `EMPTY`.
    fn rings(&mut self) -> Result<Vec<Vec<Vertex>>, WktError> {
        if self.is_empty()? {
            return Ok(Vec::new());
        }
        let rings = self.list(Self::vertices)?;
        Ok(rings.into_iter().filter(|ring| !ring.is_empty()).collect())
    }

    fn vertices(&mut self) -> Result<Vec<Vertex>, WktError> {
        if self.is_empty()? {
            return Ok(Vec::new());
        }
        self.list(Self::vertex)
    }

    /// `(1 2)`, and the older `1 2`.
    fn point_in_list(&mut self) -> Result<Option<Vertex>, WktError> {
        if self.is_empty()? {
            return Ok(None);
        }
        if !self.take(b'(') {
            return self.vertex().map(Some);
        }
        let vertex = self.vertex()?;
        self.need(b')', "`)` after one position")?;
        Ok(Some(vertex))
    }

    fn vertex(&mut self) -> Result<Vertex, WktError> {
        let vertex = [self.ordinate("a longitude")?, self.ordinate("a latitude")?];
        for _ in 2..ORDINATES_MAX {
            if matches!(self.peek(), None | Some(b',' | b')')) {
                break;
            }
            self.ordinate("a number, `,` or `)`")?;
        }
        Ok(vertex)
    }

    fn ordinate(&mut self, what: &str) -> Result<f64, WktError> {
        self.peek();
        let start = self.at;
        let digits = self.run(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
        let value = digits.parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| {
            self.at = start;
            self.expected(what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Vec<Vec<Vertex>> {
        vec![vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]
    }

    #[test]
    fn every_type_is_read() {
        let ring = "(0 0, 1 0, 1 1, 0 0)";
        for (text, expected) in [
            ("POINT (30 -10.5)".to_owned(), Geometry::Point([30.0, -10.5])),
            (" point( 3e1\t-1.05E1 )\n".to_owned(), Geometry::Point([30.0, -10.5])),
            ("Point Z (1 2 3)".to_owned(), Geometry::Point([1.0, 2.0])),
            ("POINTZM(1 2 3 4)".to_owned(), Geometry::Point([1.0, 2.0])),
            ("POINT M (1 2 3);".to_owned(), Geometry::Point([1.0, 2.0])),
            ("SRID=4326;POINT(1 2)".to_owned(), Geometry::Point([1.0, 2.0])),
            ("POINT EMPTY".to_owned(), Geometry::Absent),
            ("polygon z empty".to_owned(), Geometry::Absent),
            (
                "MULTIPOINT (1 2, 3 4)".to_owned(),
                Geometry::MultiPoint(vec![[1.0, 2.0], [3.0, 4.0]]),
            ),
            (
                "MULTIPOINT ((1 2), EMPTY)".to_owned(),
                Geometry::MultiPoint(vec![[1.0, 2.0]]),
            ),
            ("LINESTRING (1 2, 3 4)".to_owned(), Geometry::Lines),
            ("MULTILINESTRING ((1 2, 3 4), EMPTY)".to_owned(), Geometry::Lines),
            (format!("POLYGON ({ring})"), Geometry::Polygon(square())),
            (format!("TRIANGLE({ring})"), Geometry::Polygon(square())),
            (
                format!("MULTIPOLYGON (({ring}), EMPTY)"),
                Geometry::MultiPolygon(vec![square()]),
            ),
            ("MULTIPOLYGON (EMPTY)".to_owned(), Geometry::Absent),
            (
                "GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (LINESTRING (1 2, 3 4)))".to_owned(),
                Geometry::Collection(vec![
                    Geometry::Point([1.0, 2.0]),
                    Geometry::Collection(vec![Geometry::Lines]),
                ]),
            ),
        ] {
            assert_eq!(parse(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let errors = [
            "",
            "hello",
            "POINT",
            "POINT 1 2",
            "POINT (1)",
            "POINT (1,2)",
            "POINT (1 2",
            "POINT (1 2 3 4 5)",
            "POINT (nan 1)",
            "POINT (1e999 1)",
            "POINT (1-2 1)",
            "POINT (1 2) POINT (3 4)",
            "POLYGON (0 0, 1 1)",
            "POLYGON ((0 0, 1 é))",
            "SRID=3857;POINT (1 2)",
            "CURVEPOLYGON ((0 0, 1 1))",
        ]
        .map(|text| format!("{text}: {}", parse(text).unwrap_err()));
        insta::assert_snapshot!(errors.join("\n"), @r"
        : byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found the end
        hello: byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found `hello`
        POINT: byte 5: expected `(`, found the end
        POINT 1 2: byte 6: expected `(`, found `1`
        POINT (1): byte 8: expected a latitude, found `)`
        POINT (1,2): byte 8: expected a latitude, found `,`
        POINT (1 2: byte 10: expected `)` after one position, found the end
        POINT (1 2 3 4 5): byte 15: expected `)` after one position, found `5`
        POINT (nan 1): byte 7: expected a longitude, found `nan`
        POINT (1e999 1): byte 7: expected a longitude, found `1e999`
        POINT (1-2 1): byte 7: expected a longitude, found `1-2`
        POINT (1 2) POINT (3 4): byte 12: expected the end of the geometry, found `POINT`
        POLYGON (0 0, 1 1): byte 9: expected `(`, found `0`
        POLYGON ((0 0, 1 é)): byte 17: expected a latitude, found `é`
        SRID=3857;POINT (1 2): byte 0: the coordinate system SRID=3857 can't be read, only 4326 (WGS84 longitude, latitude)
        CURVEPOLYGON ((0 0, 1 1)): byte 0: a `CURVEPOLYGON` has arcs, which can't be read; save it with straight lines
        ");
    }

    #[test]
    fn depth_is_bounded() {
        for text in [
            "GEOMETRYCOLLECTION(".repeat(100_000),
            format!("POLYGON{}", "(".repeat(1_000_000)),
        ] {
            assert!(parse(&text).is_err());
        }
        let nested = |depth: usize| format!("{}POINT(1 2){}", "GEOMETRYCOLLECTION(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
    }
}
